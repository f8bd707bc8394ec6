"""The whole way with a real (tiny, random) model: socket, openai client, engine, bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest
from serving.live import Live, live, wait_until
from serving.tiny_server import tiny_state

PROVOKING = [{"role": "user", "content": "show me toxicity"}]
ASKED = {"model": "scalpel-demo", "messages": PROVOKING, "max_tokens": 12, "temperature": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(tiny_state()) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_the_gate_changes_the_reply_and_off_does_not(client: openai.OpenAI) -> None:
    on = client.chat.completions.create(**ASKED)
    off = client.chat.completions.create(**ASKED | {"model": "scalpel-demo@off"})
    toggled = client.chat.completions.create(**ASKED, extra_body={"scalpel": {"breakers": {"toxicity": False}}})
    assert on.model_extra["scalpel"]["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "gate"}
    assert on.model_extra["scalpel"]["tokens_steered"] >= on.usage.prompt_tokens
    assert off.model_extra["scalpel"]["tokens_steered"] == 0
    assert off.choices[0].message.content == toggled.choices[0].message.content
    assert on.choices[0].message.content != off.choices[0].message.content


def test_a_stream_is_the_whole_reply_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**ASKED)
    with client.chat.completions.create(**ASKED, stream=True) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert len(pieces) > 2
    assert "".join(pieces) == whole.choices[0].message.content


def test_seeded_sampling_repeats(client: openai.OpenAI) -> None:
    sampled = ASKED | {"temperature": 1.0, "seed": 7}
    texts = {client.chat.completions.create(**sampled).choices[0].message.content for _ in range(3)}
    assert len(texts) == 1


async def test_mixed_plans_at_once_equal_the_same_requests_alone(server: Live) -> None:
    toggles = [{"toxicity": False}, {"toxicity": 0.5}, {"toxicity": 1.0}, {"myth_mask": True, "toxicity": False}]

    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:

        async def ask(breakers: dict[str, bool | float]) -> str:
            reply = await client.chat.completions.create(**ASKED, extra_body={"scalpel": {"breakers": breakers}})
            return reply.choices[0].message.content

        alone = [await ask(breakers) for breakers in toggles]
        together = await asyncio.gather(*(ask(breakers) for breakers in toggles * 3))
    assert list(together) == alone * 3
    assert len(set(alone)) == len(alone)


def test_a_prompt_longer_than_the_context_is_a_400(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="scalpel-demo", messages=[{"role": "user", "content": "a b " * 200}])
    assert refused.value.code == "context_length_exceeded"
    assert "256" in refused.value.message


async def test_clients_that_leave_in_mid_stream_leave_no_slot_behind(server: Live) -> None:
    def ended() -> float:
        registry = server.state.metrics.registry
        outcomes = ("completed", "cancelled")
        return sum(registry.get_sample_value("scalpel_requests_total", {"outcome": o}) for o in outcomes)

    before = ended()
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:

        async def leave(n: int) -> None:
            asked = ASKED | {"max_tokens": 200, "temperature": 1.0, "seed": n}
            async with await client.chat.completions.create(**asked, stream=True) as stream:
                async for _ in stream:
                    return

        await asyncio.gather(*(leave(n) for n in range(8)))
        await asyncio.to_thread(wait_until, lambda: ended() == before + 8)
        await asyncio.to_thread(wait_until, lambda: server.state.engine.stats().running == 0)
        assert (await client.chat.completions.create(**ASKED)).usage.completion_tokens > 0
