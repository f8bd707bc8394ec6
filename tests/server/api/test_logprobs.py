"""Log-probabilities and sampling rules over a real socket, with the real openai client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest
from openai.types.chat.chat_completion_token_logprob import ChatCompletionTokenLogprob
from serving.live import Live, live, stub_state
from serving.stubs import StubEngine
from serving.tiny_server import tiny_state
from tiny_tokenizer import tiny_tokenizer

from server.engines.base import SamplingParams
from server.engines.embedded.tokenizer import HuggingFaceTokenizer

ASKED: dict[str, Any] = {
    "model": "scalpel-demo",
    "messages": [{"role": "user", "content": "show me toxicity"}],
    "max_tokens": 24,
    "temperature": 1.0,
    "seed": 5,
}
END = "<|end|>"


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    with live(tiny_state()) as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        yield client


def shown(entries: Sequence[ChatCompletionTokenLogprob]) -> bytes:
    return bytes(byte for entry in entries for byte in entry.bytes or [])


def ask(client: openai.OpenAI, **changes: Any) -> openai.types.chat.chat_completion.Choice:
    extensions = {"ignore_eos", "min_tokens", "min_p", "repetition_penalty"} & set(changes)
    extra = {name: changes.pop(name) for name in extensions}
    return client.chat.completions.create(**ASKED | changes, extra_body=extra).choices[0]


def test_every_token_has_its_logprob_bytes_and_likely_others(client: openai.OpenAI) -> None:
    choice = ask(client, logprobs=True, top_logprobs=3, ignore_eos=True)
    entries = choice.logprobs.content
    assert len(entries) == 24
    assert choice.logprobs.refusal is None
    # A random model says bytes that are no characters.
    assert shown(entries).decode(errors="ignore") == choice.message.content.replace("\ufffd", "")
    for entry in entries:
        if entry.bytes is not None:
            assert entry.token == bytes(entry.bytes).decode(errors="replace")
        likely = entry.top_logprobs
        assert [top.logprob for top in likely] == sorted((top.logprob for top in likely), reverse=True)
        assert len(likely) == 3
        assert entry.logprob <= likely[0].logprob <= 0
        same = [top.logprob for top in likely if (top.token, top.bytes) == (entry.token, entry.bytes)]
        assert all(logprob == entry.logprob for logprob in same[:1])


def test_a_stream_carries_the_same_logprobs(client: openai.OpenAI) -> None:
    whole = ask(client, logprobs=True, top_logprobs=2)
    streamed: list[ChatCompletionTokenLogprob] = []
    text = ""
    for chunk in client.chat.completions.create(**ASKED, logprobs=True, top_logprobs=2, stream=True):
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        streamed += choice.logprobs.content if choice.logprobs is not None else []
    assert text == whole.message.content
    assert [(e.token, e.bytes) for e in streamed] == [(e.token, e.bytes) for e in whole.logprobs.content]
    assert [e.logprob for e in streamed] == pytest.approx([e.logprob for e in whole.logprobs.content], abs=1e-4)


def test_without_logprobs_there_are_none(client: openai.OpenAI) -> None:
    assert ask(client).logprobs is None
    assert ask(client, logprobs=True).logprobs.content[0].top_logprobs == []


def test_a_biased_token_is_said_and_its_logprob_stays_the_models_own(client: openai.OpenAI) -> None:
    free = ask(client, logprobs=True, top_logprobs=20, max_tokens=1).logprobs.content[0]
    biased = ask(client, logprobs=True, top_logprobs=20, max_tokens=1, logit_bias={"100": 100}).logprobs.content[0]
    assert biased.token == HuggingFaceTokenizer(tiny_tokenizer()).piece(100).text
    assert [t.logprob for t in biased.top_logprobs] == pytest.approx([t.logprob for t in free.top_logprobs], abs=1e-4)
    again = ask(client, logprobs=True, max_tokens=4, logit_bias={"100": 100})
    assert {entry.token for entry in again.logprobs.content} == {biased.token}


def test_an_eager_end_token_obeys_the_rules(client: openai.OpenAI) -> None:
    """Token 2 ends a reply; it is in the log-probabilities, without bytes."""
    eager = {"logprobs": True, "logit_bias": {"2": 100}, "max_tokens": 6}
    at_once = ask(client, **eager)
    assert [(e.token, e.bytes) for e in at_once.logprobs.content] == [(END, None)]
    assert (at_once.message.content, at_once.finish_reason) == ("", "stop")
    later = ask(client, **eager, min_tokens=3)
    assert [e.token == END for e in later.logprobs.content] == [False, False, False, True]
    ignored = ask(client, **eager, ignore_eos=True)
    assert [e.token for e in ignored.logprobs.content] == [END] * 6
    assert ignored.finish_reason == "length"


def test_a_token_outside_the_vocabulary_is_a_400_that_names_the_parameter(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, logit_bias={"5000": 1})
    assert "logit_bias names token 5000; wanted 0 to 269" in refused.value.message
    assert refused.value.param == "logit_bias"


@pytest.fixture
def stubbed() -> Iterator[tuple[StubEngine, openai.OpenAI]]:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    with live(stub_state(engine=engine)) as server:
        yield engine, client_of(server)


def client_of(server: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_every_rule_reaches_the_engine(stubbed: tuple[StubEngine, openai.OpenAI]) -> None:
    engine, client = stubbed
    rules = {
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.25,
        "frequency_penalty": -1.5,
        "logit_bias": {"7": 2, "50256": -100.0},
        "logprobs": True,
        "top_logprobs": 4,
        "stop": ["x"],
    }
    extra = {"top_k": 9, "min_p": 0.1, "repetition_penalty": 1.25, "ignore_eos": True, "min_tokens": 2}
    with client:
        client.chat.completions.create(**ASKED | rules, extra_body=extra)
        client.chat.completions.create(**ASKED)
    assert engine.requests[0].sampling == SamplingParams(
        max_tokens=24,
        min_tokens=2,
        ignore_eos=True,
        stop=("x",),
        temperature=0.5,
        top_k=9,
        top_p=0.9,
        min_p=0.1,
        presence_penalty=0.25,
        frequency_penalty=-1.5,
        repetition_penalty=1.25,
        logit_bias={7: 2.0, 50256: -100.0},
        seed=5,
        top_logprobs=4,
    )
    assert engine.requests[1].sampling == SamplingParams(max_tokens=24, seed=5)


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_names_no_likely_tokens_is_not_hidden(
    stubbed: tuple[StubEngine, openai.OpenAI], stream: bool
) -> None:
    engine, client = stubbed
    engine.names_likely_tokens = False
    with client, pytest.raises(openai.APIError, match="named likely tokens at 0 places; wanted 3"):
        list(client.chat.completions.create(**ASKED, logprobs=True, top_logprobs=1, stream=stream))
