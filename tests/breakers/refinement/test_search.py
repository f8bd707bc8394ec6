"""The search on measures whose minimal sets are known: what it returns, and how much it measures for that."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_sets import PlantedMeasure, additive, components, reaching, some_cases

from breakers.errors import TracingError
from breakers.refinement.measured import SetMeasure
from breakers.refinement.search import Outcome, SearchResult, Verdict, judge, search_minimal_set
from breakers.sites import Component, Site

A, B, C, D, E, F = components(6)


def search(measure, ranking, tau=0.5, **others) -> SearchResult:
    return search_minimal_set(SetMeasure(measure, some_cases()), ranking, tau, **others)


def test_an_additive_measure_by_hand() -> None:
    # 10, less 5 and 3: 2 is below 4; without either it is 5 or 7.
    measure = additive({A: 5, B: 3, C: 1, D: 1}, clean=10.0)
    result = search(measure, [A, B, C, D], tau=4.0)
    assert result.outcome is Outcome.MINIMAL
    assert (result.members, result.value, result.clean, result.candidates) == ((A, B), 2, 10, 0)
    assert result.grown == 2
    # Both ends; prefixes 1 and 2; the halves of A, B are leaving one out, and nothing is measured twice.
    assert len(measure.patches) == 2 + 2 + 1
    assert len(set(measure.patches)) == len(measure.patches)


def test_weak_members_that_the_prefix_dragged_in_go_again() -> None:
    # Alone E does nothing and ranks last; with A it is everything.
    result = search(reaching([frozenset({A, E})]), [A, B, C, D, E])
    assert (result.members, result.grown) == ((A, E), 5)


def test_either_of_two_is_enough_and_one_stays() -> None:
    result = search(reaching([frozenset({C}), frozenset({D})]), [A, B, C, D])
    assert result.members == (C,)


def test_heads_go_before_neurons() -> None:
    head, a, b, c = components(4, heads=1)
    # With the first and the last neuron either the head or the other neuron is enough; the head ranks higher.
    either = reaching([frozenset({a, b, c}), frozenset({a, head, c})])
    assert search(either, [a, head, b, c]).members == (a, b, c)


def test_a_tolerance_asks_for_more_than_tau() -> None:
    weights = {A: 5.0, B: 1.2, C: 0.2}
    assert search(additive(weights, clean=10.0), [A, B, C], tau=4.0).members == (A, B)
    cautious = search(additive(weights, clean=10.0), [A, B, C], tau=4.0, tolerance=0.3)
    assert cautious.members == (A, B, C)
    assert cautious.value == pytest.approx(3.6)
    # Without C it is 3.8: below tau, but by less than the tolerance.
    assert [judge(without, 4.0) for without in (3.8, 4.0, 8.6)] == [
        Verdict.WITHIN_TOLERANCE,
        Verdict.NEEDED,
        Verdict.NEEDED,
    ]


def test_a_behaviour_that_is_not_local_is_a_result() -> None:
    result = search(additive({A: 1, B: 1, C: -1}, clean=10.0), [A, B, C], tau=4.0)
    assert result.outcome is Outcome.UNREACHED
    assert (result.members, result.value, result.candidates) == ((A, B), 8, 9)


def test_the_prefix_of_positive_effects_is_tried_too() -> None:
    measure = additive({A: 3, B: 2, C: 2, D: -4}, clean=10.0)
    assert search(measure, [A, B, C, D], tau=4.0).outcome is Outcome.UNREACHED
    assert search(measure, [A, B, C, D], tau=4.0, also_try=[3]).members == (A, B, C)


def test_a_model_that_is_below_tau_already_is_a_result() -> None:
    result = search(additive({A: 1}, clean=0.2), [A])
    assert (result.outcome, result.members, result.value) == (Outcome.ABSENT, (), pytest.approx(0.2))


def test_a_spent_limit_leaves_a_set_that_reaches_and_says_so() -> None:
    many = components(130)
    needed = frozenset(many[:120])
    measured = SetMeasure(reaching([needed]), some_cases(), limit=128)
    result = search_minimal_set(measured, many, tau=0.5)
    assert result.outcome is Outcome.UNVERIFIED
    assert needed <= set(result.members)
    assert result.value < 0.5
    assert len(measured.log) <= 128


@pytest.mark.parametrize(
    ("ranking", "tolerance", "words"),
    [
        ([], 0.0, "no candidates"),
        ([A, A], 0.0, "listed twice"),
        ([Site(layer=0, component=Component.NEURON, neurons=(0, 1))], 0.0, "several neurons"),
        ([A], -1.0, "tolerance is -1"),
    ],
)
def test_what_cannot_be_searched_is_refused(ranking, tolerance, words) -> None:
    with pytest.raises(TracingError, match=words):
        search(reaching([]), ranking, tolerance=tolerance)


@given(
    sets=st.lists(st.sets(st.integers(0, 15), min_size=1, max_size=8), min_size=1, max_size=5),
    order=st.permutations(range(16)),
)
@settings(max_examples=30, deadline=None)
def test_monotone_interactions_give_one_of_the_minimal_sets_in_few_measurements(sets, order) -> None:
    parts = components(16, heads=4)
    planted = [frozenset(parts[n] for n in members) for members in sets]
    measured = SetMeasure(reaching(planted), some_cases())
    result = search_minimal_set(measured, [parts[n] for n in order], tau=0.5)
    assert result.outcome is Outcome.MINIMAL
    # Of a monotone measure, 1-minimal means minimal.
    assert frozenset(result.members) in [s for s in planted if not any(other < s for other in planted)]
    assert list(result.members) == sorted(result.members, key=lambda site: order.index(parts.index(site)))
    assert len(measured.log) <= bound(16, result.grown)


@given(
    table=st.lists(st.floats(0, 1, width=16), min_size=64, max_size=64),
    tolerance=st.sampled_from([0.0, 0.125]),
)
@settings(max_examples=30, deadline=None)
def test_any_measure_at_all_gives_a_set_that_is_1_minimal(table, tolerance) -> None:
    parts = components(6)

    def harm(patched, _case=0):
        return table[sum(1 << parts.index(site) for site in patched)]

    result = search(PlantedMeasure(harm), parts, tolerance=tolerance)
    members = frozenset(result.members)
    if result.outcome is Outcome.UNREACHED:
        assert all(harm(frozenset(parts[:size])) >= 0.5 - tolerance for size in (0, 1, 2, 4, 6))
        return
    assert harm(members) < 0.5 - tolerance
    if result.outcome is not Outcome.ABSENT:
        assert all(harm(members - {member}) >= 0.5 - tolerance for member in members)


def bound(candidates: int, grown: int) -> float:
    """Growing and both ends; heads; blocks down to sixteenths; halves of members; two rounds of leaving one out."""
    return 2 * math.log2(candidates) + 4 + 63 + 6 * grown


def test_a_large_additive_set_is_measured_about_once_a_member() -> None:
    parts = components(500)
    weights = {site: 1.0 / (n + 1) for n, site in enumerate(parts)}
    measured = SetMeasure(additive(weights, clean=10.0), some_cases())
    result = search_minimal_set(measured, parts, tau=10 - sum(list(weights.values())[:50]) + 1e-6)
    # The strongest 50 are the smallest set; each is measured once without the others, and little besides.
    assert result.members == parts[:50]
    assert len(measured.log) <= 2 * math.log2(500) + 4 + 63 + 50


def test_a_noisy_measure_ends_and_repeats() -> None:
    parts = components(40)

    def noisy(patched, case):
        noise = torch.Generator().manual_seed(hash(frozenset(map(parts.index, patched))) % 2**31 + case)
        return 1 - len(patched) / 40 + 0.1 * float(torch.randn((), generator=noise))

    results = []
    for _ in range(2):
        measured = SetMeasure(PlantedMeasure(noisy), some_cases(4))
        results.append((search_minimal_set(measured, parts, tau=0.5, tolerance=0.05), measured.log))
    assert results[0] == results[1]
    assert results[0][0].value < 0.45
