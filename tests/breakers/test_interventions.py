"""The three interventions: worked by hand, and their edges."""

import pytest
import torch

from breakers.errors import InterventionError
from breakers.interventions import Breaker, Mask, SteeringVector, intervene
from breakers.sites import Component, Site

SITE = Site(layer=0, component=Component.HEAD, head=0)


def test_breaker_by_hand() -> None:
    breaker = Breaker(site=SITE, down=torch.tensor([[1.0, 2.0]]), up=torch.tensor([[3.0], [-1.0]]))
    z = torch.tensor([[1.0, 1.0], [2.0, -1.0]])
    # down z = 3 and 0, so z' = (1 + 0.5 * 9, 1 - 0.5 * 3) and z itself.
    out = intervene(z, [(breaker, torch.tensor([0.5, 0.5]))])
    assert out.tolist() == [[5.5, -0.5], [2.0, -1.0]]


def test_steering_vector_by_hand() -> None:
    vector = SteeringVector(site=SITE, vector=torch.tensor([1.0, -2.0]))
    out = intervene(torch.ones(2, 2), [(vector, torch.tensor([0.25, 0.0]))])
    assert out.tolist() == [[1.25, 0.5], [1.0, 1.0]]


def test_mask_then_breaker_by_hand() -> None:
    mask = Mask(site=SITE, keep=torch.tensor([0.0, 1.0]))
    breaker = Breaker(site=SITE, down=torch.tensor([[1.0, 1.0]]), up=torch.tensor([[1.0], [1.0]]))
    ones = torch.ones(1)
    # The mask removes channel 0 first; the breaker reads what is left.
    out = intervene(torch.tensor([[5.0, 2.0]]), [(breaker, ones), (mask, ones)])
    assert out.tolist() == [[2.0, 4.0]]


def test_overlapping_fractions_saturate() -> None:
    half = Mask(site=SITE, keep=torch.tensor([0.25, 1.0]))
    out = intervene(torch.tensor([[8.0, 8.0]]), [(half, torch.ones(1)), (half, torch.ones(1))])
    assert out.tolist() == [[0.0, 8.0]]


def test_strength_zero_keeps_infinite_rows() -> None:
    breaker = Breaker(site=SITE, down=torch.ones(1, 2), up=torch.ones(2, 1))
    z = torch.tensor([[float("inf"), 1.0]])
    assert intervene(z, [(breaker, torch.zeros(1))]).tolist() == z.tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Breaker(site=SITE, down=torch.ones(2, 3), up=torch.ones(2, 3)), r"down \(2, 3\), up \(2, 3\)"),
        (lambda: Mask(site=SITE, keep=torch.tensor([0.5, 1.5])), r"outside \[0, 1\]"),
        (lambda: Mask(site=SITE, keep=torch.tensor([1.0, float("nan")])), "NaN"),
        (lambda: SteeringVector(site=SITE, vector=torch.tensor([float("inf")])), "infinite"),
    ],
)
def test_bad_tensors_are_refused(make, message) -> None:
    with pytest.raises(InterventionError, match=message):
        make()
