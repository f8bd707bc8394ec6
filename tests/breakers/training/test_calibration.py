"""delta from a curve, and what folding it in does, both by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_data import head

from breakers.errors import InterventionError
from breakers.interventions import Breaker, Mask, SteeringVector
from breakers.training.calibration import CalibrationConfig, ScalePoint, choose_scale, folded


def curve(*points: tuple[float, float, float]) -> list[ScalePoint]:
    return [ScalePoint(scale=float(s), harm=float(h), preserve=float(p)) for s, h, p in points]


CURVE = curve((0, 0.8, 0), (0.5, 0.3, 0.02), (1, 0.04, 0.08), (1.5, 0.0, 0.2), (2, 0.0, 0.5))


def test_the_smallest_scale_that_reaches_the_target_within_the_bound() -> None:
    found = choose_scale(CURVE, harm_target=0.05, preserve_bound=0.1)
    assert (found.delta, found.reached, found.chosen.preserve) == (1, True, 0.08)
    assert found.curve == tuple(CURVE)
    assert found.reason == (
        "delta 1 is the smallest that reaches harm 0.05 with a change of at most 0.1 nats a token: "
        "harm 0.8 -> 0.04, change 0.08"
    )


def test_else_the_best_trade_off() -> None:
    # Missed: 0.5 -> 0.3/0.8; 1 -> 0.04/0.8 + 0.03/0.05; 1.5 -> 3; 2 -> 9.
    found = choose_scale(CURVE[::-1], harm_target=0.0, preserve_bound=0.05)
    assert (found.delta, found.reached) == (0.5, False)
    # With a wider bound scale 1 misses by 0.05 alone.
    assert choose_scale(CURVE, harm_target=0.0, preserve_bound=0.1).delta == 1
    assert "the best trade-off; none reaches harm 0" in found.reason


def test_of_equal_trade_offs_the_smaller_scale() -> None:
    points = curve((0, 1, 0), (1, 0.5, 0), (2, 0.5, 0))
    assert choose_scale(points, harm_target=0.1, preserve_bound=1.0).delta == 1


def test_curves_that_cannot_be_used_are_refused() -> None:
    for points in (CURVE[1:], CURVE[:1], [*CURVE, CURVE[-1]]):
        with pytest.raises(InterventionError, match="wanted 0 and others, each once"):
            choose_scale(points, harm_target=0.1, preserve_bound=0.1)
    with pytest.raises(InterventionError, match="not finite"):
        choose_scale(curve((0, 1, 0), (1, float("nan"), 0)), harm_target=0.1, preserve_bound=0.1)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0.01, 1),
)
def test_no_smaller_scale_would_do(values, target, bound) -> None:
    points = curve((0, 1.0, 0.0), *((1.0 + at, harm, kl) for at, (harm, kl) in enumerate(values)))
    found = choose_scale(points, harm_target=target, preserve_bound=bound)
    fitting = [p.scale for p in points[1:] if p.harm <= target and p.preserve <= bound]
    assert found.reached == bool(fitting)
    assert found.delta == (min(fitting) if fitting else found.delta) > 0


def test_folding_scales_what_an_intervention_adds() -> None:
    part = Breaker(site=head(0, 0), down=torch.eye(2), up=torch.ones(2, 2))
    vector = SteeringVector(site=head(0, 1), vector=torch.tensor([1.0, -2.0]))
    one, two = folded([part, vector], 0.5)
    assert torch.equal(one.down, part.down)
    assert torch.equal(one.up, torch.full((2, 2), 0.5))
    assert two.vector.tolist() == [0.5, -1.0]
    with pytest.raises(InterventionError, match="a mask at layer 0 head 0 cannot be scaled"):
        folded([Mask(site=head(0, 0), keep=torch.ones(2))], 0.5)


def test_a_configuration_that_makes_no_sense_is_refused() -> None:
    for scales in ((), (1.0, 0.5), (0.0, 1.0), (2.0,), (1.0, float("inf"))):
        with pytest.raises(InterventionError, match="scales are"):
            CalibrationConfig(scales=scales)
    with pytest.raises(InterventionError, match=r"harm_reduction 0\.0"):
        CalibrationConfig(harm_reduction=0.0)
