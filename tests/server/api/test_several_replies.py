"""`n` replies to one conversation, over a real socket with the real openai client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from serving.live import live, stub_state, wait_until
from serving.stubs import StubEngine
from serving.tiny_server import tiny_state

from server.deployment import Deployment
from server.engines.base import GenerationRequest, RequestFailedError, SamplingParams
from server.generation.command import SEED_LIMIT, GenerationCommand, PreparedRequest, TokenPrompt
from server.generation.context import RequestContext
from server.policy.planner import Planner

ASKED: dict[str, Any] = {
    "model": "scalpel-demo",
    "messages": [
        {"role": "user", "content": "show me toxicity, and then show me some more of it, please, my friend"}
    ],
    "max_tokens": 12,
    "temperature": 1.0,
    "seed": 5,
    "extra_body": {"ignore_eos": True},
}


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    with live(tiny_state()) as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        yield client


def test_each_reply_is_that_of_the_next_seed_alone(client: openai.OpenAI) -> None:
    several = client.chat.completions.create(**ASKED, n=4)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    texts = [choice.message.content for choice in several.choices]
    alone = [client.chat.completions.create(**ASKED | {"seed": 5 + i}).choices[0].message.content for i in range(4)]
    assert texts == alone
    assert len(set(texts)) > 1
    assert several.usage.completion_tokens == 48
    assert several.usage.prompt_tokens == client.chat.completions.create(**ASKED).usage.prompt_tokens


def test_a_stream_says_whose_piece_each_is(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**ASKED, n=3)
    options = {"include_usage": True}
    events = list(client.chat.completions.create(**ASKED, n=3, stream=True, stream_options=options))
    texts, reasons, roles = ["", "", ""], {}, []
    for event in events[:-1]:
        [choice] = event.choices
        texts[choice.index] += choice.delta.content or ""
        if choice.delta.role:
            roles.append(choice.index)
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert sorted(roles) == [0, 1, 2]
    assert reasons == {0: "length", 1: "length", 2: "length"}
    assert events[-1].usage.completion_tokens == 36
    reports = [event.scalpel for event in events[:-1] if getattr(event, "scalpel", None)]
    assert len(reports) == 2
    assert reports[-1]["tokens_steered"] == whole.scalpel["tokens_steered"]
    assert events[0].scalpel["plan"] == whole.scalpel["plan"]


@pytest.mark.parametrize("n", [0, 33, 1.5, "2", True])
def test_a_number_out_of_range_is_refused(client: openai.OpenAI, n: object) -> None:
    with pytest.raises(openai.BadRequestError, match="n: "):
        client.chat.completions.create(**ASKED, n=n)  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_every_slot(stream: bool) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), endless=True)
    with live(stub_state(engine=engine)) as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=0.5, max_retries=0) as asked:
            if stream:
                reply = asked.chat.completions.create(**ASKED | {"max_tokens": 4000}, n=3, stream=True)
                wait_until(lambda: engine.running == 3)
                reply.close()
            else:
                with pytest.raises(openai.APITimeoutError):
                    asked.chat.completions.create(**ASKED | {"max_tokens": 4000}, n=3)
        wait_until(lambda: engine.running == 0)
        assert len(engine.requests) == 3


def test_one_failed_reply_fails_the_request() -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), failure=RequestFailedError("broken"))
    with live(stub_state(engine=engine)) as server:
        asked = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        with asked, pytest.raises(openai.InternalServerError, match="broken"):
            asked.chat.completions.create(**ASKED, n=3)
        wait_until(lambda: engine.running == 0)


@pytest.mark.parametrize(
    ("seed", "seeds"),
    [(None, [None] * 3), (7, [7, 8, 9]), (SEED_LIMIT - 2, [SEED_LIMIT - 2, SEED_LIMIT - 1, -SEED_LIMIT])],
)
def test_seeds_stay_in_their_range(seed: int | None, seeds: list[int | None]) -> None:
    command = GenerationCommand(model="m", prompt=TokenPrompt((1,)), replies=3, seed=seed)
    sampling = SamplingParams(max_tokens=1, seed=seed)
    request = GenerationRequest(request_id="r", prompt_token_ids=(1,), sampling=sampling)
    prepared = PreparedRequest(
        context=RequestContext(),
        command=command,
        request=request,
        conversation=(),
        deployment=Deployment(bundles={}, planner=Planner(())),
        harm_potential={},
    )
    assert [r.sampling.seed for r in prepared.requests()] == seeds
    assert len({r.request_id for r in prepared.requests()}) == 3
