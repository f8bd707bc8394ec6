"""The events of a stream on the wire: whatever the text is, and however few pieces there are."""

from __future__ import annotations

import json

import httpx
import pytest
from serving.live import live, stub_state
from serving.stubs import StubEngine

BODY = {
    "model": "scalpel-demo",
    "messages": [{"role": "user", "content": "hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
AWKWARD = ('"quoted" \\ back', "", "line\nfeed\r\t\x00\x1f\x7f", "data: [DONE]\n\n", "\u2028é😀", "{}\x00text\x00")


@pytest.mark.parametrize("pieces", [AWKWARD, ("only",), ("", "late"), ("early", ""), ("",)])
def test_events_carry_the_text_as_it_is(pieces: tuple[str, ...]) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), pieces=pieces)
    with live(stub_state(engine=engine)) as server:
        response = httpx.post(f"{server.url}/v1/chat/completions", json=BODY)
    *events, done, end = response.content.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    *chunks, usage = [json.loads(event.removeprefix("data: ")) for event in events]
    assert usage["usage"]["completion_tokens"] == len("".join(pieces))
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["delta"]["content"] for choice in choices[1:-1]] == [piece for piece in pieces if piece]
    assert choices[-1]["delta"] == {}
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    # The events that are made from one serialised event have the keys of those that are not.
    assert {frozenset(chunk) - {"scalpel"} for chunk in chunks} == {
        frozenset({"id", "object", "created", "model", "choices"})
    }
