"""The older shape of log-probabilities by hand, and the events of text completions on the wire."""

from __future__ import annotations

import json
import math

import httpx
import pytest
from serving.live import live, stub_state
from serving.stubs import StubEngine

from server.api.completions.logprobs import ReplyLogprobs
from server.engines.base import GenerationChunk, ScoredToken, TokenLogprob, TokenPiece

PIECES = {
    0: TokenPiece(text="<|bos|>", data=None),
    1: TokenPiece(text=" Hi", data=b" Hi"),
    2: TokenPiece(text=" you", data=b" you"),
    3: TokenPiece(text="\ufffd", data=b"\xc3"),
    4: TokenPiece(text="\ufffd", data=b"\xa9"),
    5: TokenPiece(text="!", data=b"!"),
    6: TokenPiece(text="!", data=b"!"),
}
AWKWARD = ('"quoted" \\ back', "", "line\nfeed\r\t\x00\x1f\x7f", "data: [DONE]\n\n", "\u2028é😀", "{}\x00text\x00")


def scored(token_id: int, logprob: float, *top: tuple[int, float]) -> ScoredToken:
    return ScoredToken(token_id=token_id, logprob=logprob, top=tuple(TokenLogprob(*entry) for entry in top))


def test_a_prompt_and_its_reply_by_hand() -> None:
    """A tokenizer whose first piece of text stands for a space that the text lacks."""
    lists = ReplyLogprobs(PIECES.__getitem__, 1)
    prompt = lists.prompt([0, 1, 2], [scored(1, -0.5, (1, -0.5)), scored(2, -2.0, (5, -0.25))], "Hi you")
    assert prompt.tokens == ["<|bos|>", " Hi", " you"]
    assert prompt.token_logprobs == [None, -0.5, -2.0]
    assert prompt.top_logprobs == [None, {" Hi": -0.5}, {"!": -0.25, " you": -2.0}]
    assert prompt.text_offset == [0, 0, 2]
    chunk = GenerationChunk(
        text="é!",
        token_ids=(3, 4, 6),
        logprobs=(-1.0, -math.inf, -3.0),
        top_logprobs=((TokenLogprob(3, -1.0),), (TokenLogprob(5, -0.5),), (TokenLogprob(5, -0.5),)),
    )
    reply = lists.chunks([chunk])
    assert reply.tokens == ["bytes:\\xc3", "bytes:\\xa9", "!"]
    assert reply.token_logprobs == [-1.0, -9999.0, -3.0]
    # Two tokens that say the same: the likelier one counts.
    assert reply.top_logprobs == [{"bytes:\\xc3": -1.0}, {"!": -0.5, "bytes:\\xa9": -9999.0}, {"!": -0.5}]
    assert reply.text_offset == [6, 6, 7]


@pytest.mark.parametrize("pieces", [AWKWARD, ("only",), ("", "late"), ("early", ""), ("",)])
def test_events_carry_the_text_as_it_is(pieces: tuple[str, ...]) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), pieces=pieces)
    body = {"model": "scalpel-demo", "prompt": "hi", "stream": True, "stream_options": {"include_usage": True}}
    with live(stub_state(engine=engine)) as server:
        response = httpx.post(f"{server.url}/v1/completions", json=body)
    *events, done, end = response.content.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    *chunks, usage = [json.loads(event.removeprefix("data: ")) for event in events]
    assert usage["usage"]["completion_tokens"] == len("".join(pieces))
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["text"] for choice in choices] == ["", *(piece for piece in pieces if piece), ""]
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert [set(chunk) - {"id", "object", "created", "model", "choices"} for chunk in chunks] == [
        {"scalpel"},
        *(set() for _ in chunks[2:]),
        {"scalpel"},
    ]


def test_a_conversation_can_say_where_its_generation_starts() -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    body = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}]}
    with live(stub_state(engine=engine)) as server:
        for start in (None, 1, 3):
            options = {"scalpel": {"generation_start": start}}
            response = httpx.post(f"{server.url}/v1/chat/completions", json=body | options)
    assert [request.generation_start for request in engine.requests] == [None, 1]
    assert "scalpel.generation_start is 3; this prompt has tokens 0 to 2" in response.text
