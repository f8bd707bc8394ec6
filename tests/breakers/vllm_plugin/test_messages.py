"""A plan is one string on its way through vLLM, and only a string that says exactly one thing is taken."""

from __future__ import annotations

import pytest

from breakers.errors import PlanError
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.vllm_plugin.messages import LENGTH_LIMIT, PlanMessage, decode_plan, encode_plan


def message(**strengths: float) -> PlanMessage:
    entries = {n: AppliedStrength(strength=s, reason=Reason.REQUEST) for n, s in strengths.items()}
    return PlanMessage(plan=Plan(entries), generation_start=3, bank="0123456789ab")


def test_a_message_comes_back_as_it_went() -> None:
    sent = message(calm=0.5, loud=1.0625)
    assert encode_plan(sent) == {
        "scalpel": '{"bank":"0123456789ab","generation_start":3,"strengths":{"calm":0.5,"loud":1.0625}}'
    }
    assert decode_plan(dict(encode_plan(sent))) == sent


def test_strengths_of_0_are_left_out() -> None:
    assert encode_plan(PlanMessage(plan=message(calm=0.0).plan)) == {"scalpel": '{"strengths":{}}'}


@pytest.mark.parametrize("extra_args", [None, {}, {"other": 1}])
def test_a_request_without_a_message_has_no_plan(extra_args: dict[str, object] | None) -> None:
    assert decode_plan(extra_args) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"strengths": {}}, "is dict; wanted a plan as JSON text"),
        (1.0, "is float; wanted a plan as JSON text"),
        ("{}" + " " * LENGTH_LIMIT, f"{LENGTH_LIMIT + 2} characters; wanted"),
        ("calm=0.5", "is not JSON"),
        ("[]", "holds a list; wanted one JSON object"),
        ("{}", "strengths: Field required"),
        ('{"strengths": {}, "plan": 1}', "plan: Extra inputs are not permitted"),
        ('{"strengths": {"calm": 0.5, "calm": 0}}', "the key 'calm' twice"),
        ('{"strengths": {"calm": true}}', "strengths.calm: Input should be a valid number"),
        ('{"strengths": {"calm": NaN}}', "holds NaN"),
        ('{"strengths": {"calm": 0.3}}', "strength is 0.3; wanted a multiple of 1/16"),
        ('{"strengths": {"calm": -1}}', "strength is -1"),
        ('{"strengths": {}, "generation_start": -1}', "generation_start: Input should be greater than or equal to 0"),
        ('{"strengths": {"\\ud800": 1}}', "half of a surrogate pair"),
        ('{"strengths": {"\ud800": 1}}', "is not UTF-8"),
    ],
)
def test_what_is_no_message_is_refused(value: object, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        decode_plan({"scalpel": value})
