"""Measured sets: cached, counted, logged, and checked."""

from __future__ import annotations

import pytest
import torch
from planted_sets import PlantedMeasure, components, some_cases

from breakers.errors import TracingError
from breakers.refinement.joint import set_digest
from breakers.refinement.measured import SetLimitReached, SetMeasure

A, B = components(2, heads=1)


def test_a_set_is_measured_once_and_logged() -> None:
    measure = PlantedMeasure(lambda patched, case: case - float(len(patched)))
    told = []
    measured = SetMeasure(measure, some_cases(3), on_step=told.append)
    first = measured.by_case([(A,), (A, B)], "grow")
    assert first.tolist() == [[-1, 0, 1], [-2, -1, 0]]
    assert measured.means([(B, A), ()], "bisect") == [-1, 1]
    assert len(measure.patches) == 3
    assert told == measured.log
    last = measured.log[-1]
    assert (last.step, last.phase, last.heads, last.neurons) == (2, "bisect", 0, 0)
    assert (last.value, last.standard_error) == (1, pytest.approx(1 / 3**0.5))
    assert [step.patched_runs for step in measured.log] == [3, 6, 9]
    assert last.forward_passes is None
    assert (measured.log[1].digest, measured.log[1].heads, measured.log[1].neurons) == (set_digest([B, A]), 1, 1)


def test_the_limit_comes_before_the_measurement() -> None:
    measure = PlantedMeasure(lambda patched, case: 0.0)
    measured = SetMeasure(measure, some_cases(), limit=2)
    measured.by_case([(A,), (B,), (A,)], "grow")
    with pytest.raises(SetLimitReached, match="2 sets"):
        measured.by_case([()], "grow")
    assert len(measure.patches) == 2


def test_the_measures_own_count_is_logged() -> None:
    measure = PlantedMeasure(lambda patched, case: 0.0)
    measured = SetMeasure(measure, some_cases(), spent=lambda: len(measure.patches) / 2)
    measured.means([(A,)], "grow")
    measured.means([(B,)], "grow")
    assert [step.forward_passes for step in measured.log] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("values", "words"), [(torch.tensor([[torch.nan]]), "NaN"), (torch.zeros(1, 2), r"\(1, 2\); wanted .* \(1, 1\)")]
)
def test_values_that_cannot_be_are_refused(values, words) -> None:
    with pytest.raises(TracingError, match=words):
        SetMeasure(lambda _cases, _patches: values, some_cases()).by_case([()], "clean")
    with pytest.raises(TracingError, match="no case"):
        SetMeasure(lambda _cases, _patches: values, ())
