"""The soak: what it holds for a possible plan and a whole stream, and a short run of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak.__main__ import measure
from benchmarks.soak.plans import Rule, digest, is_possible
from benchmarks.soak.replay import fixed
from benchmarks.soak.traffic import Answered, AnswerError, Asked, RequestMaker, read_stream

RULES = {
    "gated": Rule(gated=True, full=1.0, ceilings=(1.0, 0.5)),
    "plain": Rule(gated=False, full=1.0, ceilings=(1.0,)),
}


def answered(model: str, toggles: dict[str, Any], **applied: float) -> Answered:
    body = {"model": model, "scalpel": {"breakers": toggles}}
    numbers = {name: float(toggle) for name, toggle in toggles.items() if toggle is not True}
    asked = Asked(body=body, fixed=numbers, hangs_up_after=None)
    return Answered(asked=asked, text="", applied=applied, plan=digest(applied))


@pytest.mark.parametrize(
    ("reply", "possible"),
    [
        (answered("m", {"gated": 0.75}, gated=0.75, plain=0.0), True),
        (answered("m", {"gated": 0.75}, gated=0.5, plain=0.0), True),
        (answered("m", {"gated": 0.75}, gated=0.25, plain=0.0), False),
        (answered("m", {"plain": True}, gated=0.0, plain=1.0), True),
        (answered("m", {}, gated=0.0, plain=1.0), False),
        (answered("m@off", {}, gated=0.0, plain=0.0), True),
        (answered("m@off", {}, gated=0.125, plain=0.0), False),
        (answered("m@strict", {}, gated=0.5, plain=0.0), True),
        (answered("m@strict", {}, gated=0.0, plain=0.0), False),
        (answered("m", {"gated": False}, gated=0.125, plain=0.0), False),
        (answered("m", {}, gated=0.0), False),
        (answered("m", {}, gated=0.0, plain=0.0, stranger=0.5), False),
    ],
)
def test_possible_plans(reply: Answered, possible: bool) -> None:
    assert is_possible(reply, RULES) is possible


def test_the_digest_is_the_planners() -> None:
    from breakers.plan import AppliedStrength, Plan, Reason

    strengths = {"b": 0.5, "a": 1.0, "c": 0.0}
    entries = {name: AppliedStrength(strength=s, reason=Reason.GATE) for name, s in strengths.items()}
    assert digest(strengths) == Plan(entries).digest


def test_a_replay_asks_for_what_was_applied() -> None:
    again = fixed(answered("m@strict", {"gated": True}, gated=0.5, plain=0.0))
    assert again.body["model"] == "scalpel-demo@off"
    assert again.body["scalpel"] == {"breakers": {"gated": 0.5}}


def test_streams_are_read_whole_or_not_at_all() -> None:
    asked = Asked(body={}, fixed={}, hangs_up_after=None)
    report = {"applied": {"gated": {"strength": 0.5}}, "plan": "x"}
    first = {"scalpel": report, "choices": [{"delta": {"content": "Hel"}}]}
    last = {"scalpel": report, "choices": [{"delta": {"content": "lo"}}]}
    lines = [f"data: {json.dumps(event)}" for event in (first, last)] + ["data: [DONE]"]
    whole = read_stream(asked, lines)
    assert (whole.text, dict(whole.applied), whole.plan) == ("Hello", {"gated": 0.5}, "x")
    for broken in (lines[:-1], lines[1:], []):
        with pytest.raises(AnswerError):
            read_stream(asked, broken)


def test_requests_repeat() -> None:
    first, second = (RequestMaker(["a", "b"], seed=4) for _ in range(2))
    assert [first.next() for _ in range(20)] == [second.next() for _ in range(20)]


@pytest.mark.slow
def test_nothing_is_mixed_up_while_bundles_and_policies_change(tmp_path: Path) -> None:
    figures = measure(tmp_path, minutes=0.25, replayed=40)
    assert figures["answered.steered"] > 20
    assert figures["hung_up"] > 0
    assert figures["replayed"] == 40
    for name in ("failures", "wrong_plans", "leaked_slots", "different"):
        assert figures[name] == 0, name
