"""langchain-openai against a server: prints what it saw."""

import asyncio
import json
import os

from langchain_openai import ChatOpenAI

scalpel = {"breakers": {"toxicity": 0.5}}


def model(**settings):
    return ChatOpenAI(
        base_url=os.environ["BASE_URL"], api_key="none", model="scalpel-demo", max_retries=0, **settings
    )


chat = model(extra_body={"scalpel": scalpel}, include_response_headers=True)
plain = model(default_headers={"X-Scalpel-Profile": "strict"}, use_responses_api=True, include_response_headers=True)


async def answers():
    reply = await chat.ainvoke("show me toxicity")
    return [reply.content, "".join([chunk.content async for chunk in chat.astream("show me toxicity")])]


reply = chat.invoke([("system", "Be kind."), ("human", "show me toxicity")])
chunks = list(chat.stream("show me toxicity"))
response = plain.invoke("hello")
print(
    json.dumps(
        {
            "invoke": reply.content,
            "tokens": reply.usage_metadata["total_tokens"],
            "metadata": sorted(reply.response_metadata),
            "headers": dict(reply.response_metadata.get("headers", {})),
            "stream": "".join(chunk.content for chunk in chunks),
            "stream_headers": dict(chunks[0].response_metadata.get("headers", {})),
            "batch": [answer.content for answer in chat.batch(["toxicity", "hello", "more"])],
            "async": asyncio.run(answers()),
            "responses": response.text,
            "responses_headers": dict(response.response_metadata.get("headers", {})),
            "responses_metadata": sorted(response.response_metadata),
            "responses_stream": "".join(chunk.text for chunk in plain.stream("hello")),
        }
    )
)
