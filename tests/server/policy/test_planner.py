"""The planner by hand: every profile, toggle and failure."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.gate import Gate
from breakers.plan import AppliedStrength, Reason
from server.errors import ConfigError, InvalidRequestError
from server.policy.planner import PlannedBundle, Planner, Toggle, Wishes
from server.policy.profiles import Profile

GATE = Gate(alpha_base=1.0, w=12.0, b=-4.0, p_off=0.1)
TOXICITY = PlannedBundle(name="tox", kind="breaker", behaviour="b", category="toxicity", gate=GATE, strength_max=2.0)
HALF = PlannedBundle(
    name="half",
    kind="steering",
    behaviour="b",
    category="bias",
    gate=Gate(alpha_base=0.5, w=0.0, b=100.0),
    strength_max=1.0,
)
MASK = PlannedBundle(name="mask", kind="mask", behaviour="b", category="myths", gate=None, strength_max=1.0)
PLANNER = Planner([TOXICITY, HALF, MASK])
HARMFUL = {"toxicity": 1.0, "bias": 0.9}
HARMLESS = {"toxicity": 0.05, "bias": 0.0}


def plan(
    potentials: dict[str, float] | None, profile: Profile = Profile.DEFAULT, **toggles: Toggle
) -> dict[str, tuple[float, Reason]]:
    PLANNER.check(toggles)
    entries = PLANNER.plan(Wishes(profile=profile, toggles=toggles), potentials).entries
    return {name: (entry.strength, entry.reason) for name, entry in entries.items()}


def test_the_gate_decides_by_default() -> None:
    assert plan(HARMFUL) == {"tox": (1.0, "gate"), "half": (0.5, "gate"), "mask": (0.0, "off")}
    # 0.05 is below p_off; the other gate saturates at 1/2 whatever the potential, but not below its p_off.
    assert plan(HARMLESS) == {"tox": (0.0, "gate"), "half": (0.0, "gate"), "mask": (0.0, "off")}


def test_each_gate_reads_its_own_category() -> None:
    assert plan({"toxicity": 0.0, "bias": 1.0})["tox"] == (0.0, "gate")
    assert plan({"toxicity": 1.0, "bias": 0.0})["half"] == (0.0, "gate")


def test_profiles() -> None:
    assert plan(HARMFUL, Profile.OFF) == {"tox": (0.0, "profile"), "half": (0.0, "profile"), "mask": (0.0, "profile")}
    assert plan(HARMLESS, Profile.STRICT) == {"tox": (1.0, "profile"), "half": (0.5, "profile"), "mask": (0.0, "off")}


@pytest.mark.parametrize("profile", Profile)
def test_a_toggle_beats_every_profile(profile: Profile) -> None:
    assert plan(HARMFUL, profile, tox=False)["tox"] == (0.0, "request")
    assert plan(HARMFUL, profile, tox=True)["tox"] == (1.0, "gate")
    assert plan(HARMLESS, profile, tox=True)["tox"] == (0.0, "gate")
    assert plan(HARMLESS, profile, tox=1.5)["tox"] == (1.5, "request")
    assert plan(HARMLESS, profile, mask=True)["mask"] == (1.0, "request")
    assert plan(HARMLESS, profile, mask=0.25)["mask"] == (0.25, "request")


def test_a_number_is_rounded_up_to_a_sixteenth() -> None:
    assert plan(HARMLESS, tox=0.01)["tox"] == (0.0625, "request")
    assert plan(HARMLESS, tox=0.5001)["tox"] == (0.5625, "request")
    assert plan(HARMLESS, tox=0.0)["tox"] == (0.0, "request")


def test_a_failed_classifier_means_full_strength_where_the_gate_would_decide() -> None:
    failed = Reason.CLASSIFIER_FAILED
    assert plan(None) == {"tox": (1.0, failed), "half": (0.5, failed), "mask": (0.0, "off")}
    assert plan(None, Profile.OFF)["tox"] == (0.0, "profile")
    assert plan(None, Profile.OFF, tox=True)["tox"] == (1.0, failed)
    assert plan(None, tox=False)["tox"] == (0.0, "request")
    assert plan({"bias": 0.9})["tox"] == (1.0, failed)


@pytest.mark.parametrize("strength", [-0.1, 2.01, math.nan, math.inf, -math.inf])
def test_a_strength_out_of_range_is_refused_with_the_range(strength: float) -> None:
    with pytest.raises(InvalidRequestError, match=r"'tox'.*number in \[0, 2\]") as refused:
        PLANNER.check({"tox": strength})
    assert refused.value.param == "scalpel.breakers.tox"


def test_an_unknown_breaker_is_refused_with_the_loaded_ones() -> None:
    with pytest.raises(InvalidRequestError, match="'toxicity' is loaded; loaded: half, mask, tox"):
        PLANNER.check({"toxicity": True})


def test_a_maximum_between_sixteenths_is_never_exceeded() -> None:
    bundle = PlannedBundle(name="odd", kind="breaker", behaviour="b", category="c", gate=None, strength_max=0.97)
    planner = Planner([bundle])
    assert bundle.highest == 0.9375
    with pytest.raises(InvalidRequestError):
        planner.check({"odd": 0.96})
    wishes = Wishes(toggles={"odd": True})
    assert planner.plan(wishes, {}).entries["odd"] == AppliedStrength(strength=0.9375, reason=Reason.REQUEST)


def test_bundles_that_cannot_be_planned_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"reaches 1\.0, above its strength_max 0\.5"):
        PlannedBundle(name="b", kind="breaker", behaviour="b", category="c", gate=GATE, strength_max=0.5)
    with pytest.raises(ConfigError, match="at least 1/16"):
        PlannedBundle(name="b", kind="breaker", behaviour="b", category="c", gate=None, strength_max=0.01)


@given(
    potentials=st.none() | st.fixed_dictionaries({"toxicity": st.floats(0, 1), "bias": st.floats(0, 1)}),
    profile=st.sampled_from(Profile),
    toggles=st.dictionaries(st.sampled_from(["tox", "half", "mask"]), st.booleans() | st.floats(0, 1)),
)
def test_every_plan_names_every_bundle_within_its_range(
    potentials: dict[str, float] | None, profile: Profile, toggles: dict[str, Toggle]
) -> None:
    entries = PLANNER.plan(Wishes(profile=profile, toggles=toggles), potentials).entries
    assert set(entries) == {"tox", "half", "mask"}
    for name, entry in entries.items():
        assert 0 <= entry.strength <= PLANNER.bundles[name].highest
        assert (entry.strength * 16).is_integer()
    if potentials is None and profile is not Profile.OFF and "tox" not in toggles:
        assert entries["tox"].strength == 1.0
