"""litellm against a server: prints what it saw."""

import asyncio
import json
import os

import litellm

litellm.suppress_debug_info = True
common = {
    "model": "openai/scalpel-demo",
    "api_base": os.environ["BASE_URL"],
    "api_key": "none",
    "messages": [{"role": "user", "content": "show me toxicity"}],
    "num_retries": 0,
}
scalpel = {"scalpel": {"breakers": {"toxicity": 0.5}}}
reply = litellm.completion(**common, extra_body=scalpel)
chunks = list(litellm.completion(**common, stream=True, extra_headers={"X-Scalpel-Profile": "strict"}))


async def answer():
    return await litellm.acompletion(**common)


def extra(item):
    return getattr(item, "scalpel", None)


print(
    json.dumps(
        {
            "completion": reply.choices[0].message.content,
            "tokens": reply.usage.total_tokens,
            "report": extra(reply),
            "headers": dict(reply._hidden_params.get("additional_headers", {})),
            "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
            "stream_reports": [extra(chunk) for chunk in chunks],
            "async": asyncio.run(answer()).choices[0].message.content,
            "moderation": litellm.moderation(input="toxicity", api_base=common["api_base"], api_key="none")
            .results[0]
            .flagged,
        },
        default=str,
    )
)
