"""Rounding, digests and the gate, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.errors import PlanError
from breakers.gate import Gate
from breakers.plan import AppliedStrength, Plan, Reason, round_up_strength


@pytest.mark.parametrize(
    ("asked", "given_"), [(0.0, 0.0), (0.01, 0.0625), (0.5, 0.5), (0.5000000001, 0.5), (0.9, 0.9375)]
)
def test_rounding_is_up_to_sixteenths(asked, given_) -> None:
    assert round_up_strength(asked) == given_


@given(st.floats(0, 16))
def test_rounding_never_weakens(strength) -> None:
    rounded = round_up_strength(strength)
    assert strength - 1e-9 <= rounded < strength + 1 / 16
    assert (rounded * 16).is_integer()


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_impossible_strengths_are_refused(bad) -> None:
    with pytest.raises(PlanError, match="strength is"):
        round_up_strength(bad)


def test_applied_strengths_are_sixteenths() -> None:
    with pytest.raises(PlanError, match="multiple of 1/16"):
        AppliedStrength(strength=0.3, reason=Reason.REQUEST)


def test_digest_is_of_the_edit_and_not_of_the_reasons() -> None:
    on = {
        "a": AppliedStrength(strength=0.5, reason=Reason.GATE),
        "b": AppliedStrength(strength=0.0, reason=Reason.OFF),
    }
    same = {"a": AppliedStrength(strength=0.5, reason=Reason.REQUEST)}
    other = {"a": AppliedStrength(strength=0.5625, reason=Reason.GATE)}
    assert Plan(on).digest == Plan(same).digest != Plan(other).digest
    assert Plan().digest != Plan(on).digest


def test_gate_by_hand() -> None:
    gate = Gate(alpha_base=1.0, w=10.0, b=-5.0, p_off=0.2)
    assert gate.strength(0.19) == 0.0
    assert gate.strength(0.5) == 0.5
    # sigmoid(5) = 0.9933, rounded up to 1.
    assert gate.strength(1.0) == 1.0
    assert Gate(alpha_base=0.4).full_strength == 0.4375


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100), st.floats(-100, 100))
def test_gate_never_falls_with_harm_potential(p, q, w, b) -> None:
    gate = Gate(alpha_base=1.0, w=w, b=b, p_off=0.1)
    low, high = sorted((p, q))
    assert 0.0 <= gate.strength(low) <= gate.strength(high) <= gate.full_strength


def test_gate_refuses_nonsense() -> None:
    with pytest.raises(PlanError, match="w is -1"):
        Gate(w=-1.0)
    with pytest.raises(PlanError, match="harm potential is nan"):
        Gate().strength(math.nan)
