"""Shadow mode and rollouts: nothing is applied, everything is said, and the share is stable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving.policies import CHAT, HARMFUL, HARMLESS, TRUSTED, applied, planner

from breakers.plan import AppliedStrength, Reason
from server.policy.decisions import Refused
from server.policy.profiles import Profile
from server.policy.rollout import in_share, place_of
from server.policy.settings import RolloutBy, RolloutSettings
from server.policy.wishes import Wishes


def would(rules: dict[str, Any], potentials: Any = HARMFUL, **wishes: Any) -> object:
    """What the first bundle would have done in shadow, after a check that it did nothing."""
    made = planner(bundles={"tox": {"mode": "shadow"} | rules})
    asked = Wishes(**{"caller": CHAT} | wishes)
    made.allow(asked)
    decision = made.decide(asked, potentials)
    assert applied(decision.plan)["tox"] == (0.0, "shadow")
    assert decision.overrides == ()
    assert set(decision.shadow) == {"tox"}
    assert decision.plan.entries["half"].reason is not Reason.SHADOW
    return decision.shadow["tox"]


def test_shadow_says_what_would_have_been() -> None:
    assert would({}) == AppliedStrength(strength=1.0, reason=Reason.GATE)
    assert would({"ceiling": 0.5}) == AppliedStrength(strength=0.5, reason=Reason.CEILING)
    assert would({}, None) == AppliedStrength(strength=1.0, reason=Reason.CLASSIFIER_FAILED)
    assert would({"floor": 0.25}, HARMLESS) == AppliedStrength(strength=0.25, reason=Reason.FLOOR)
    assert would({}, toggles={"tox": 1.5}) == AppliedStrength(strength=1.5, reason=Reason.REQUEST)
    off = would({"floor": 0.25}, profile=Profile.OFF, caller=TRUSTED)
    assert off == AppliedStrength(strength=0.0, reason=Reason.PROFILE)


def test_shadow_refuses_nothing_and_says_what_it_would_refuse() -> None:
    assert would({"floor": 0.25}, toggles={"tox": False}) == Refused("override_forbidden")
    assert would({"dose_cap": 0.0, "on_dose_cap": "refuse"}) == Refused("dose_cap")
    assert would({"classifier_failure": "refuse"}, None) == Refused("classifier_failed")
    assert would({"enabled": False}, toggles={"tox": True}) == Refused("breaker_off")


def test_callers_outside_the_share_run_in_shadow() -> None:
    made = planner(bundles={"tox": {"rollout": {"share": 0.0}}})
    assert applied(made.plan(Wishes(caller=CHAT), HARMFUL))["tox"] == (0.0, "shadow")
    made = planner(bundles={"tox": {"rollout": {"share": 1.0}}})
    assert applied(made.plan(Wishes(caller=CHAT), HARMFUL))["tox"] == (1.0, "gate")


def test_who_cannot_be_told_apart_is_in_the_share() -> None:
    for by in RolloutBy:
        assert in_share(RolloutSettings(share=0.0, by=by), Wishes())
    assert in_share(RolloutSettings(share=0.0, by=RolloutBy.USER), Wishes(caller=CHAT))
    assert not in_share(RolloutSettings(share=0.0, by=RolloutBy.USER), Wishes(user="u"))


def test_a_place_is_the_same_everywhere_and_always() -> None:
    # Worked out once: a change would move callers between shares in the middle of a rollout.
    assert place_of(RolloutBy.KEY, "a" * 12) == pytest.approx(PLACE, abs=1e-12)
    assert place_of(RolloutBy.USER, "a" * 12) != place_of(RolloutBy.KEY, "a" * 12)


PLACE = 0.52181494075129


def test_a_share_is_about_that_share() -> None:
    keys = [f"{n:012x}" for n in range(4000)]
    inside = sum(place_of(RolloutBy.KEY, key) < 0.25 for key in keys)
    # Within six standard deviations of 1000.
    assert abs(inside - 1000) < 6 * (4000 * 0.25 * 0.75) ** 0.5


@given(identity=st.text(), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_share_that_grows_loses_nobody(identity: str, shares: tuple[float, float]) -> None:
    low, high = sorted(shares)
    wishes = Wishes(user=identity)
    if in_share(RolloutSettings(share=low, by=RolloutBy.USER), wishes):
        assert in_share(RolloutSettings(share=high, by=RolloutBy.USER), wishes)
    assert in_share(RolloutSettings(share=1.0, by=RolloutBy.USER), wishes)


def test_the_share_is_the_same_for_every_bundle() -> None:
    made = planner(defaults={"rollout": {"share": 0.5}})
    for n in range(50):
        caller = replace(CHAT, key_id=f"{n:012x}")
        entries = made.plan(Wishes(caller=caller), HARMFUL).entries.values()
        assert len({entry.reason is Reason.SHADOW for entry in entries}) == 1
