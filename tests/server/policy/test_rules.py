"""Policy by hand: floors, ceilings, dose caps, layers, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving.policies import BUNDLES, CHAT, HARMFUL, HARMLESS, TOXICITY, TRUSTED, applied, planner, tox

from server.errors import ClassifierRequiredError, ConfigError, PermissionDeniedError
from server.policy.overrides import OverrideForbiddenError
from server.policy.planner import Planner
from server.policy.policy import Policy
from server.policy.profiles import Profile
from server.policy.rules import strength_within
from server.policy.settings import RuleSettings
from server.policy.wishes import Wishes

OFF: dict[str, Any] = {"toggles": {"tox": False}}


def test_without_a_policy_nothing_changes() -> None:
    assert applied(planner().plan(Wishes(caller=CHAT), HARMFUL)) == {
        "tox": (1.0, "gate"),
        "half": (0.5, "gate"),
        "mask": (0.0, "off"),
    }


def test_a_floor_raises_what_the_gate_decides() -> None:
    assert tox({"floor": 0.25}) == (0.25, "floor")
    assert tox({"floor": 0.25}, HARMFUL) == (1.0, "gate")
    assert tox({"floor": 1.5}, HARMFUL) == (1.5, "floor")
    assert tox({"floor": 0.3}) == (0.3125, "floor")


def test_a_floor_holds_for_bundles_without_a_gate_too() -> None:
    entries = applied(planner(bundles={"mask": {"floor": 0.5}}).plan(Wishes(caller=CHAT), HARMLESS))
    assert entries["mask"] == (0.5, "floor")


def test_a_ceiling_lowers_whatever_was_decided() -> None:
    rules = {"ceiling": 0.55}
    assert tox(rules, HARMFUL) == (0.5, "ceiling")
    assert tox(rules, None) == (0.5, "ceiling")
    assert tox(rules, profile=Profile.STRICT) == (0.5, "ceiling")
    assert tox(rules, toggles={"tox": 2.0}) == (0.5, "ceiling")
    assert tox(rules, toggles={"tox": 2.0}, caller=TRUSTED) == (0.5, "ceiling")
    assert tox(rules, toggles={"tox": 0.5}) == (0.5, "request")


def test_the_dose_cap_comes_last() -> None:
    # dose_p95 is 0.2: a cap of 0.11 is a strength of 0.55, and 8/16 is the highest step below it.
    assert tox({"dose_cap": 0.11}, HARMFUL) == (0.5, "dose_cap")
    assert tox({"dose_cap": 0.11, "ceiling": 0.75}, HARMFUL) == (0.5, "dose_cap")
    assert tox({"dose_cap": 0.11, "ceiling": 0.25}, HARMFUL) == (0.25, "ceiling")
    assert tox({"dose_cap": 0.11}, toggles={"tox": 0.5}) == (0.5, "request")
    assert tox({"dose_cap": 0.2}, HARMFUL) == (1.0, "gate")
    assert tox({"dose_cap": 0.0}, HARMFUL) == (0.0, "dose_cap")


def test_a_dose_cap_can_refuse() -> None:
    rules = {"dose_cap": 0.11, "on_dose_cap": "refuse"}
    assert tox(rules) == (0.0, "gate")
    with pytest.raises(PermissionDeniedError, match=r"'tox' would run at 1; .* allows 0\.5 at most") as refused:
        tox(rules, HARMFUL)
    assert refused.value.code == "dose_cap"


@given(
    dose_cap=st.floats(0, 10),
    dose_p95=st.floats(0, 10),
    steps=st.integers(1, 256),
)
def test_a_capped_dose_never_exceeds_the_cap_and_is_the_greatest_that_does_not(
    dose_cap: float, dose_p95: float, steps: int
) -> None:
    highest = steps / 16
    strength = strength_within(dose_cap, dose_p95, highest)
    assert 0 <= strength <= highest
    assert (strength * 16).is_integer()
    assert strength * dose_p95 <= dose_cap
    if strength < highest:
        # Up to the last digit of the division.
        assert (strength + 1 / 16) * dose_p95 >= dose_cap * (1 - 1e-12)


@pytest.mark.parametrize(
    ("wishes", "asked"),
    [(OFF, 0), ({"toggles": {"tox": 0.1}}, 0.125), ({"profile": Profile.OFF}, 0)],
)
def test_going_below_a_floor_takes_the_scope(wishes: dict[str, Any], asked: float) -> None:
    for refusing in (planner(bundles={"tox": {"floor": 0.25}}).allow, lambda w: tox({"floor": 0.25}, **wishes)):
        with pytest.raises(OverrideForbiddenError, match=r"may not run below 0\.25") as refused:
            refusing(Wishes(caller=CHAT, **wishes))
        (override,) = refused.value.overrides
        assert (override.bundle, override.floor, override.asked) == ("tox", 0.25, asked)
        assert refused.value.code == "override_forbidden"
    reason = "profile" if "profile" in wishes else "request"
    assert tox({"floor": 0.25}, caller=TRUSTED, **wishes) == (asked, reason)


def test_an_override_is_reported_and_only_where_it_is_one() -> None:
    made = planner(bundles={"tox": {"floor": 0.25}, "half": {"floor": 0.125}})
    off = made.decide(Wishes(caller=TRUSTED, profile=Profile.OFF), HARMFUL)
    assert [(o.bundle, o.asked, o.floor) for o in off.overrides] == [("tox", 0, 0.25), ("half", 0, 0.125)]
    for toggle in (True, 0.25, 0.2, 1.0):
        assert made.decide(Wishes(caller=TRUSTED, toggles={"tox": toggle}), HARMFUL).overrides == ()


def test_all_floors_that_were_refused_are_named() -> None:
    made = planner(defaults={"floor": 0.25})
    with pytest.raises(OverrideForbiddenError) as refused:
        made.allow(Wishes(caller=CHAT, profile=Profile.OFF))
    assert [o.bundle for o in refused.value.overrides] == ["tox", "half", "mask"]


def test_the_toggle_true_and_strict_never_go_below_a_floor() -> None:
    assert tox({"floor": 0.25}, toggles={"tox": True}) == (0.25, "floor")
    assert tox({"floor": 1.5}, profile=Profile.STRICT) == (1.5, "floor")
    assert tox({"floor": 1.5}, None) == (1.5, "floor")


def test_nobody_may_be_meant() -> None:
    with pytest.raises(OverrideForbiddenError):
        tox({"floor": 0.25, "override": "nobody"}, caller=TRUSTED, **OFF)


def test_a_bundle_that_is_off_by_policy() -> None:
    rules = {"enabled": False}
    assert tox(rules, HARMFUL) == (0.0, "off")
    assert tox(rules, None) == (0.0, "off")
    assert tox(rules, HARMFUL, profile=Profile.STRICT) == (0.0, "off")
    assert tox(rules, HARMFUL, toggles={"tox": 0.0}) == (0.0, "off")
    for toggle in (True, 0.5):
        with pytest.raises(PermissionDeniedError, match="off by policy") as refused:
            tox(rules, toggles={"tox": toggle})
        assert refused.value.code == "breaker_off"


def test_a_failing_classifier_means_full_strength_or_no_reply() -> None:
    assert tox({}, None) == (1.0, "classifier_failed")
    assert tox({}, {"bias": 0.5}) == (1.0, "classifier_failed")
    rules = {"classifier_failure": "refuse"}
    with pytest.raises(ClassifierRequiredError, match="harm potential of toxicity"):
        tox(rules, None)
    assert tox(rules, HARMFUL) == (1.0, "gate")
    # Where the request fixes the strength, the gate has nothing to say.
    assert tox(rules, None, toggles={"tox": 0.5}) == (0.5, "request")


def test_layers_beat_each_other_key_by_key() -> None:
    made = planner(
        defaults={"floor": 0.125, "ceiling": 0.5},
        bundles={"tox": {"ceiling": None}},
        keys={
            "front": {"defaults": {"floor": 0.25}, "bundles": {"tox": {"ceiling": 0.75}}},
            "b" * 12: {"bundles": {"tox": {"floor": 0.0}}},
            "research": {"defaults": {"enabled": False}},
        },
    )

    def range_of(caller: Any) -> tuple[float, float]:
        low = applied(made.plan(Wishes(caller=caller), HARMLESS))["tox"][0]
        return low, applied(made.plan(Wishes(caller=caller), HARMFUL))["tox"][0]

    assert range_of(Wishes().caller) == (0.125, 1.0)
    assert range_of(CHAT) == (0.25, 0.75)
    # The id beats the label: the entry called `research` is not this caller's.
    assert range_of(TRUSTED) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bundles": {"tox": {"floor": 2.5}}}, r"bundle tox: the floor is 2\.5; wanted a number in \[0, 2\]"),
        ({"bundles": {"half": {"ceiling": 1.5}}}, r"bundle half: the ceiling is 1\.5; wanted a number in \[0, 1\]"),
        ({"bundles": {"tox": {"floor": 0.5, "ceiling": 0.25}}}, r"the floor is 0\.5, above the ceiling 0\.25"),
        # Both round away from each other: 0.26 up to 0.3125, 0.3 down to 0.25.
        ({"bundles": {"tox": {"floor": 0.26, "ceiling": 0.3}}}, r"the floor is 0\.3125, above the ceiling 0\.25"),
        ({"bundles": {"tox": {"floor": 0.75, "dose_cap": 0.1}}}, r"the dose cap 0\.1 allows 0\.5 at most"),
        ({"bundles": {"toxic": {}}}, "bundles names toxic, which is not loaded; loaded: half, mask, tox"),
        ({"keys": {"k": {"bundles": {"toxic": {}}}}}, r"keys\.k\.bundles names toxic, which is not loaded"),
        (
            {"bundles": {"tox": {"ceiling": 0.5}}, "keys": {"k": {"defaults": {"floor": 0.75}}}},
            r"keys\.k: bundle tox",
        ),
        ({"defaults": {"floor": 1.5}}, "bundle half"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_at_the_start(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planner(**settings)


def test_a_dose_cap_needs_a_declared_dose() -> None:
    undeclared = [replace(bundle, dose_p95=None) for bundle in BUNDLES]
    with pytest.raises(ConfigError, match="declares no dose_p95"):
        Planner(undeclared, planner(defaults={"dose_cap": 0.5}).policy)
    Planner(undeclared)


def test_a_bundle_can_be_changed_in_a_policy() -> None:
    before = planner(bundles={"tox": {"floor": 0.25, "ceiling": 1.0}}).policy
    after = before.with_bundle("tox", RuleSettings(floor=0.5))
    assert applied(Planner(BUNDLES, after).plan(Wishes(toggles={"tox": 2.0}), HARMLESS))["tox"] == (1.0, "ceiling")
    assert applied(Planner(BUNDLES, after).plan(Wishes(), HARMLESS))["tox"] == (0.5, "floor")
    assert applied(Planner(BUNDLES, before).plan(Wishes(), HARMLESS))["tox"] == (0.25, "floor")
    assert before.digest != after.digest == Policy(settings=after.settings).digest
    with pytest.raises(ConfigError):
        Planner(BUNDLES, before.with_bundle("tox", RuleSettings(floor=1.5)))


def test_an_operator_who_switches_a_bundle_off_leaves_its_floor() -> None:
    off = replace(TOXICITY, enabled=False)
    made = Planner([off], planner(bundles={"tox": {"floor": 0.25}}).policy)
    assert applied(made.plan(Wishes(caller=CHAT), HARMFUL))["tox"] == (0.25, "floor")
    assert applied(made.plan(Wishes(caller=CHAT), None))["tox"] == (0.25, "floor")
    without = Planner([off])
    assert applied(without.plan(Wishes(caller=CHAT), HARMFUL))["tox"] == (0.0, "off")
    assert applied(without.plan(Wishes(caller=CHAT, toggles={"tox": True}), HARMFUL))["tox"] == (1.0, "gate")
    assert applied(without.plan(Wishes(caller=CHAT, profile=Profile.STRICT), HARMLESS))["tox"] == (1.0, "profile")


def test_a_bundle_with_rules_has_to_stay() -> None:
    made = planner(bundles={"tox": {}}, keys={"front": {"bundles": {"half": {"ceiling": 0.5}}}})
    assert made.required("tox") == made.required("half") == "the policy has rules for it"
    assert made.required("mask") is None
    assert planner(keys={"front": {"defaults": {"floor": 0.5}}}).required("mask") == "the policy has a floor for it"
    assert planner(defaults={"floor": 0.5, "enabled": False}).required("mask") is None
    assert planner().required("tox") is None
