"""Text completions over a real socket with the real openai client: prompts, echo, log-probabilities, replies."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from serving.live import Live, live, stub_state, wait_until
from serving.stubs import StubEngine
from serving.tiny_server import tiny_state
from tiny_tokenizer import tiny_tokenizer

from server.api.exchange import PROMPTS_AT_ONCE
from server.engines.base import RequestFailedError, SamplingParams
from server.engines.embedded.tokenizer import HuggingFaceTokenizer

TOKENIZER = HuggingFaceTokenizer(tiny_tokenizer())
TEXT = "Once upon a time — there was a café"
TOKENS = TOKENIZER.encode(TEXT)
OTHER = TOKENIZER.encode("toxicity, and much more of it")


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(tiny_state()) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as asked:
        yield asked


def ask(client: openai.OpenAI, prompt: object = TEXT, **changes: Any) -> Any:
    asked = {"model": "scalpel-demo", "prompt": prompt, "max_tokens": 8, "temperature": 1.0, "seed": 5}
    extra = {"ignore_eos": True} | changes.pop("extra_body", {})
    return client.completions.create(**asked | changes, extra_body=extra)


def test_text_and_its_tokens_are_the_same_prompt(client: openai.OpenAI) -> None:
    by_text, by_tokens = ask(client), ask(client, TOKENS)
    assert by_text.choices[0].text == by_tokens.choices[0].text != ""
    assert by_text.usage.prompt_tokens == len(TOKENS)
    assert (by_text.object, by_text.choices[0].finish_reason) == ("text_completion", "length")
    assert by_text.choices[0].logprobs is None
    assert by_text.scalpel["plan"] == by_tokens.scalpel["plan"]
    assert ask(client, max_tokens=None).usage.completion_tokens == 16


def test_replies_to_several_prompts_are_those_of_each_alone(client: openai.OpenAI) -> None:
    several = ask(client, [TOKENS, OTHER, TOKENS], n=2)
    assert [choice.index for choice in several.choices] == list(range(6))
    alone = [choice.text for tokens in (TOKENS, OTHER, TOKENS) for choice in ask(client, tokens, n=2).choices]
    assert [choice.text for choice in several.choices] == alone
    assert several.usage.prompt_tokens == 2 * len(TOKENS) + len(OTHER)
    assert several.usage.completion_tokens == 48
    # Each prompt has its own plan, and its choices say so.
    assert "scalpel" not in several.model_extra
    reports = [choice.scalpel for choice in several.choices]
    assert [report["applied"]["toxicity"]["strength"] for report in reports] == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    assert reports[2] == ask(client, OTHER, n=2).scalpel
    texts = [TEXT, "toxicity, and much more of it", TEXT]
    assert [choice.text for choice in ask(client, texts, n=2).choices] == alone


@pytest.mark.parametrize("changes", [{}, {"n": 2}, {"echo": True}, {"echo": True, "logprobs": 2}, {"logprobs": 0}])
@pytest.mark.parametrize("prompt", [TEXT, [TOKENS, OTHER]], ids=["one", "several"])
def test_a_stream_adds_up_to_the_whole(client: openai.OpenAI, prompt: object, changes: dict[str, Any]) -> None:
    whole = ask(client, prompt, **changes)
    events = list(ask(client, prompt, **changes, stream=True, stream_options={"include_usage": True}))
    *events, last = events
    # What is cached differs: the second request finds what the first one left.
    assert last.choices == []
    assert last.usage.total_tokens == whole.usage.total_tokens
    several = isinstance(prompt, list)
    for choice in whole.choices:
        pieces = [event.choices[0] for event in events if event.choices[0].index == choice.index]
        assert "".join(piece.text for piece in pieces) == choice.text
        assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + [choice.finish_reason]
        if "logprobs" in changes:
            entries = [piece.logprobs for piece in pieces if piece.logprobs is not None]
            assert [t for entry in entries for t in entry.tokens] == choice.logprobs.tokens
            assert [o for entry in entries for o in entry.text_offset] == choice.logprobs.text_offset
            scores = [s for entry in entries for s in entry.token_logprobs]
            assert scores[int("echo" in changes) :] == pytest.approx(
                choice.logprobs.token_logprobs[int("echo" in changes) :], abs=1e-4
            )
    if several:
        reports = [event.choices[0].scalpel for event in events if hasattr(event.choices[0], "scalpel")]
        assert {report["plan"] for report in reports} == {choice.scalpel["plan"] for choice in whole.choices}
    else:
        reports = [event.scalpel for event in events if hasattr(event, "scalpel")]
        assert reports[-1] == whole.scalpel
        assert hasattr(events[0], "scalpel")
    assert len(reports) == (4 if several else 2)


def test_echoed_log_probabilities_are_the_engines_own_scores(server: Live, client: openai.OpenAI) -> None:
    """The prompt's second half, scored by echo, equals the engine's score of it as a continuation."""
    half = len(TOKENS) // 2
    choice = ask(client, TOKENS, echo=True, logprobs=1, max_tokens=1, temperature=0).choices[0]
    scored = choice.logprobs
    assert len(scored.tokens) == len(scored.token_logprobs) == len(scored.top_logprobs) == len(TOKENS) + 1
    assert scored.token_logprobs[0] is None
    assert scored.top_logprobs[0] is None
    expected = engine_score(server, TOKENS[:half], TOKENS[half:], start=len(TOKENS) - 1)
    assert scored.token_logprobs[half:-1] == pytest.approx(expected, abs=1e-4)
    for logprob, top in zip(scored.token_logprobs[1:], scored.top_logprobs[1:], strict=True):
        assert max(top.values()) >= logprob
        assert logprob in top.values()
        assert 1 <= len(top) <= 2
    assert [top[token] for token, top in zip(scored.tokens[1:], scored.top_logprobs[1:], strict=True)] == (
        scored.token_logprobs[1:]
    )
    assert choice.text.startswith(TEXT)


def test_offsets_are_where_tokens_begin_in_the_text(client: openai.OpenAI) -> None:
    choice = ask(client, TEXT, echo=True, logprobs=0, max_tokens=4).choices[0]
    scored = choice.logprobs
    assert scored.top_logprobs is None
    for token, offset in zip(scored.tokens, scored.text_offset, strict=True):
        if not token.startswith("bytes:"):
            assert choice.text[offset : offset + len(token)] == token
    # A dash of three bytes: three tokens that begin at the same character.
    dash = TEXT.index("—")
    assert scored.text_offset.count(dash) == 3
    assert scored.tokens[dash : dash + 3] == ["bytes:\\xe2", "bytes:\\x80", "bytes:\\x94"]
    assert scored.text_offset[len(TOKENS)] == len(TEXT)
    assert ask(client, TEXT, logprobs=0, max_tokens=4).choices[0].logprobs.text_offset[0] == 0


def test_a_prompt_is_scored_without_a_reply(client: openai.OpenAI) -> None:
    scored = ask(client, [TOKENS, OTHER], echo=True, logprobs=1, max_tokens=0)
    with_reply = ask(client, [TOKENS, OTHER], echo=True, logprobs=1, max_tokens=1)
    assert [choice.text for choice in scored.choices] == [TEXT, "toxicity, and much more of it"]
    assert scored.usage.completion_tokens == 0
    for choice, other in zip(scored.choices, with_reply.choices, strict=True):
        assert choice.logprobs.tokens == other.logprobs.tokens[:-1]
        assert choice.logprobs.token_logprobs[1:] == pytest.approx(other.logprobs.token_logprobs[1:-1], abs=1e-4)


def test_a_prompt_may_fill_the_context_where_nothing_is_generated(client: openai.OpenAI) -> None:
    full = [5] * 256
    assert ask(client, full, echo=True, logprobs=0, max_tokens=0).usage.prompt_tokens == 256
    with pytest.raises(openai.BadRequestError, match="the prompt has 256 tokens") as refused:
        ask(client, full)
    assert (refused.value.param, refused.value.code) == ("prompt", "context_length_exceeded")


@pytest.fixture(scope="module")
def generating() -> Iterator[Live]:
    """A server whose bundles act from `generation_start` on."""
    from serving.tiny_server import generation_scoped_state

    with live(generation_scoped_state()) as running:
        yield running


def test_what_is_scored_is_steered_from_generation_start(generating: Live) -> None:
    half = len(TOKENS) // 2
    steered = {"scalpel": {"breakers": {"toxicity": 1.0}}}
    asked = {"echo": True, "logprobs": 0, "max_tokens": 0}

    def scores(**options: Any) -> list[float]:
        extra = {"scalpel": steered["scalpel"] | options}
        return ask(client, TOKENS, **asked, extra_body=extra).choices[0].logprobs.token_logprobs[1:]

    with openai.OpenAI(base_url=f"{generating.url}/v1", api_key="none", max_retries=0) as client:
        plain = ask(client, TOKENS, **asked).choices[0].logprobs.token_logprobs[1:]
        # By default the last prompt token is the first that is steered, and nothing is scored after it.
        assert scores() == pytest.approx(plain, abs=1e-4)
        from_half = scores(generation_start=half - 1)
        assert from_half[: half - 1] == pytest.approx(plain[: half - 1], abs=1e-4)
        assert max(abs(a - b) for a, b in zip(from_half[half - 1 :], plain[half - 1 :], strict=True)) > 0.01
        expected = engine_score(generating, TOKENS[:half], TOKENS[half:], start=half - 1, strength=1.0)
        assert from_half[half - 1 :] == pytest.approx(expected, abs=1e-4)
        # One position for each prompt.
        extra = {"scalpel": steered["scalpel"] | {"generation_start": [half - 1, len(TOKENS) - 1]}}
        both = ask(client, [TOKENS, TOKENS], **asked, extra_body=extra).choices
        assert both[0].logprobs.token_logprobs[1:] == pytest.approx(from_half, abs=1e-4)
        assert both[1].logprobs.token_logprobs[1:] == pytest.approx(plain, abs=1e-4)


def engine_score(
    running: Live, prompt: list[int], continuation: list[int], *, start: int, strength: float = 0.0
) -> tuple[float, ...]:
    """The engine's own score, asked on the server's event loop's engine from a loop of this thread."""
    from breakers.plan import AppliedStrength, Plan, Reason
    from server.engines.base import GenerationRequest

    plan = Plan({"toxicity": AppliedStrength(strength=strength, reason=Reason.REQUEST)})
    request = GenerationRequest(
        request_id="score",
        prompt_token_ids=tuple(prompt),
        sampling=SamplingParams(max_tokens=1),
        plan=plan,
        generation_start=min(start, len(prompt) - 1),
    )
    return asyncio.run(running.state.engine.score(request, continuation))


def test_every_rule_reaches_the_engine(client: openai.OpenAI) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    with live(stub_state(engine=engine)) as running:
        asked = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none")
        asked.completions.create(
            model="scalpel-demo",
            prompt=["a", "b"],
            temperature=0.5,
            top_p=0.9,
            presence_penalty=0.25,
            frequency_penalty=-1.5,
            logit_bias={"7": 2},
            logprobs=4,
            echo=False,
            stop="x",
            seed=3,
            extra_body={"top_k": 9, "min_p": 0.1, "repetition_penalty": 1.25, "ignore_eos": True, "min_tokens": 2},
        )
        asked.completions.create(model="scalpel-demo", prompt="a")
        asked.close()
    expected = SamplingParams(
        max_tokens=16,
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
        logit_bias={7: 2.0},
        seed=3,
        top_logprobs=4,
    )
    assert [request.sampling for request in engine.requests[:2]] == [expected, expected]
    assert [request.prompt_token_ids for request in engine.requests] == [(97,), (98,), (97,)]
    assert engine.requests[2].sampling == SamplingParams(max_tokens=16)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_every_slot(stream: bool) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), endless=True)
    with live(stub_state(engine=engine)) as running:
        body = {"model": "scalpel-demo", "prompt": ["a"] * 40, "n": 2, "stream": stream}
        address = (running.url.removeprefix("http://").split(":")[0], int(running.url.rpartition(":")[2]))
        with socket.create_connection(address) as connection:
            sent = json.dumps(body)
            head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n{sent}".encode())
            # A long list runs a part at a time.
            wait_until(lambda: engine.running == 2 * PROMPTS_AT_ONCE)
        wait_until(lambda: engine.running == 0)
        assert len(engine.requests) == 2 * PROMPTS_AT_ONCE


@pytest.mark.parametrize("stream", [False, True])
def test_one_failed_prompt_fails_the_request(stream: bool) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), failure=RequestFailedError("broken"))
    with live(stub_state(engine=engine)) as running:
        asked = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
        with asked, pytest.raises(openai.APIError, match="broken"):
            list(asked.completions.create(model="scalpel-demo", prompt=["a", "b", "c"], stream=stream))
        wait_until(lambda: engine.running == 0)


def test_a_failing_prompt_among_several_is_refused_as_alone(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="prompt holds token 5000; wanted 0 to 269"):
        ask(client, [TOKENS, [5000]])


@pytest.mark.parametrize("more", [{}, {"echo": True, "logprobs": 0}, {"stream": True}])
def test_a_prompt_without_tokens_is_refused(stub_server: Live, more: dict[str, Any]) -> None:
    body = {"model": "scalpel-demo", "prompt": ""} | more
    response = httpx.post(f"{stub_server.url}/v1/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"
    assert "no tokens" in response.json()["error"]["message"]
