"""Figures of a circuit, worked out by hand on planted measures."""

from __future__ import annotations

import pytest
from planted_sets import PlantedMeasure, additive, components, some_cases

from breakers.errors import TracingError
from breakers.refinement.bootstrap import CaseBootstrap
from breakers.refinement.evidence import Evidence, EvidenceConfig
from breakers.refinement.measured import SetMeasure

A, B, C, D = UNIVERSE = components(4)
CONFIG = EvidenceConfig(subsets=6, resamples=100)


def evidence(measure, circuit, cases=3) -> Evidence:
    bootstrap = CaseBootstrap(range(cases), seed=0, resamples=100)
    return Evidence(SetMeasure(measure, some_cases(cases)), bootstrap, circuit, UNIVERSE)


def test_an_additive_measure_by_hand() -> None:
    # 10 less 4, 3, 2 and 1: all of it; the circuit takes 7 off.
    found = evidence(additive({A: 4.0, B: 3.0, C: 2.0, D: 1.0}, clean=10.0), (A, B))
    report = found.report(4.0, {"random": ((A, C), (C, D)), "activation_norm": ((B, D),)}, CONFIG, held_out=True)
    assert (report.clean.value, report.patched.value, report.everything.value) == (10, 3, 0)
    assert report.faithfulness.value == pytest.approx(0.7)
    assert report.remainder.value == pytest.approx(0.3)
    # Without effects on each other, the circuit by itself carries what it explains,
    assert report.alone.value == pytest.approx(0.7)
    # and every K misses what the circuit misses.
    assert report.completeness.mean.value == pytest.approx(0.3)
    assert report.completeness.largest.value == pytest.approx(0.3)
    assert [change.value for change in found.changes_without()] == pytest.approx([4, 3])
    random, norm = report.controls
    assert (random.draws, random.measure.value, random.lowest, random.highest) == (2, 5.5, 4, 7)
    # Below tau, not at it.
    assert (random.reaching, norm.reaching) == (0, 0)
    assert random.faithfulness.value == pytest.approx(0.45)
    assert (norm.measure.value, norm.faithfulness.value) == (6, pytest.approx(0.4))
    assert (report.cases, report.held_out) == (3, True)


def test_a_backup_outside_the_circuit_shows_as_incompleteness() -> None:
    # A does the harm; B takes over where A is patched. The circuit {A} looks faithful in no way,
    backup = PlantedMeasure(lambda patched, _case: float(A not in patched or B not in patched))
    report = evidence(backup, (A,)).report(0.5, {}, CONFIG, held_out=False)
    assert report.faithfulness.value == 0
    # but carries the harm alone;
    assert report.alone.value == 1
    # K = {}: alone it is like the whole model. K = {A}: B works in the whole model, not with only {} running.
    assert (report.completeness.largest.value, report.completeness.mean.value > 0) == (1, True)
    whole = evidence(backup, (A, B)).report(0.5, {}, CONFIG, held_out=False)
    assert (whole.faithfulness.value, whole.completeness.largest.value) == (1, 0)


def test_intervals_are_over_cases() -> None:
    # Of two equal groups of cases only the first has the harm.
    half = PlantedMeasure(lambda patched, case: float(case < 5 and A not in patched))
    report = evidence(half, (A,), cases=10).report(0.5, {}, CONFIG, held_out=False)
    assert report.clean.low < 0.4 < report.clean.value == 0.5 < 0.6 < report.clean.high
    assert (report.faithfulness.value, report.faithfulness.low, report.faithfulness.high) == (1, 1, 1)


def test_without_an_effect_of_everything_there_are_no_shares() -> None:
    report = evidence(additive({A: -1.0}, clean=1.0), (A,)).report(0.5, {}, CONFIG, held_out=False)
    assert report.faithfulness is report.remainder is report.alone is report.completeness.mean is None
    assert report.patched.value == 2


def test_an_empty_circuit_has_no_evidence() -> None:
    with pytest.raises(TracingError, match="without members"):
        evidence(additive({}, clean=1.0), ())
    with pytest.raises(TracingError, match="0 draws"):
        EvidenceConfig(draws=0)
