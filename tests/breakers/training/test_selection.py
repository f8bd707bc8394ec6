"""Which kind is kept, by the rule in words."""

import pytest
import torch
from training_data import head

from breakers.errors import InterventionError
from breakers.interventions import Breaker, Kind, Mask, SteeringVector
from breakers.training.selection import Candidate, choose_candidate, count_parameters


def candidate(kind: Kind, harm: float, preserve: float, parameters: int) -> Candidate:
    return Candidate(kind=kind, harm=harm, preserve=preserve, false_changes=0.125, parameters=parameters)


def chosen(*candidates: Candidate) -> int:
    return choose_candidate(candidates, untouched_harm=0.9, harm_target=0.1, tolerance=0.01).chosen


@pytest.mark.parametrize(
    ("breaker", "steering", "kept"),
    [
        ((0.05, 0.5, 800), (0.2, 0.01, 100), 0),  # only it reaches the target
        ((0.05, 0.3, 800), (0.1, 0.2, 100), 1),  # both do: the lower change
        ((0.0, 0.2, 800), (0.1, 0.205, 100), 1),  # changes as good as equal: fewer parameters
        ((0.0, 0.2, 800), (0.1, 0.22, 100), 0),  # not within the tolerance
        ((0.4, 0.5, 800), (0.8, 0.0, 100), 0),  # none does: the least harm
    ],
)
def test_the_rule(breaker, steering, kept) -> None:
    assert chosen(candidate(Kind.BREAKER, *breaker), candidate(Kind.STEERING, *steering)) == kept


def test_the_reason_has_all_figures_and_the_rule() -> None:
    both = [candidate(Kind.BREAKER, 0.05, 0.03, 800), candidate(Kind.STEERING, 0.3, 0.01, 100)]
    reason = choose_candidate(both, untouched_harm=0.9, harm_target=0.1, tolerance=0.01).reason
    for part in (
        "harm of the unmodified model 0.900",
        "breaker: harm 0.050, change 0.0300 nats a token, 12.5 % of benign replies changed, 800 parameters",
        "steering: harm 0.300",
        "Kept: breaker, by this rule: the one that reaches the harm target",
        "target 0.100, tolerance 0.01",
    ):
        assert part in reason
    alone = choose_candidate(both[1:], untouched_harm=0.9, harm_target=0.1, tolerance=0.01).reason
    assert "the only kind that was trained, and misses the harm target 0.100" in alone
    with pytest.raises(InterventionError, match="no candidate"):
        choose_candidate([], untouched_harm=0.9, harm_target=0.1, tolerance=0.01)


def test_parameters_are_counted() -> None:
    parts = [
        Breaker(site=head(0, 0), down=torch.ones(2, 8), up=torch.ones(8, 2)),
        SteeringVector(site=head(0, 1), vector=torch.ones(8)),
        Mask(site=head(0, 2), keep=torch.ones(8)),
    ]
    assert count_parameters(parts) == 32 + 8 + 8
