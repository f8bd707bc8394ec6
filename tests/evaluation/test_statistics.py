"""Statistics against SciPy and worked examples."""

import math

import numpy as np
import pytest

from evaluation.errors import StatisticsError
from evaluation.statistics import (
    BootstrapKind,
    McNemarKind,
    mcnemar,
    paired_difference,
    relative_reduction,
    wilson,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000), (617, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_equals_scipys(k: int, n: int, level: float) -> None:
    theirs = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    ours = wilson(k, n, level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.low <= ours.estimate == k / n <= ours.high


@pytest.mark.parametrize(("k", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (0, 0, 0.95), (1, 2, 1.0)])
def test_wilson_refuses_what_is_no_proportion(k: int, n: int, level: float) -> None:
    with pytest.raises(StatisticsError):
        wilson(k, n, level)


def binary_pairs(only_first: int, only_second: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first), np.array(second)


def test_mcnemar_by_hand() -> None:
    result = mcnemar(*binary_pairs(1, 5, 7, 2))
    # Exact: 2 * (1 + 6) / 64; mid-p takes the probability 6/64 of the observed table off once.
    assert (result.only_first, result.only_second) == (1, 5)
    assert result.exact_p_value == pytest.approx(14 / 64)
    assert result.p_value == pytest.approx(8 / 64)
    assert result.kind is McNemarKind.MID_P


@pytest.mark.parametrize(("b", "c"), [(0, 1), (3, 9), (40, 70), (200, 230)])
def test_mcnemars_exact_p_equals_the_binomial_test(b: int, c: int) -> None:
    result = mcnemar(*binary_pairs(b, c, 4, 4))
    assert result.exact_p_value == pytest.approx(stats.binomtest(b, b + c).pvalue)
    assert 0 < result.p_value < result.exact_p_value


def test_mcnemar_of_equal_arms() -> None:
    assert mcnemar(*binary_pairs(0, 0, 5, 5)).p_value == 1.0
    # b = c = 1: 1 - P(1 of 2) / 2.
    assert mcnemar(*binary_pairs(1, 1, 5, 5)).p_value == pytest.approx(0.75)


def test_mcnemar_is_asymptotic_for_many_pairs() -> None:
    result = mcnemar(*binary_pairs(540, 480, 0, 0))
    assert result.kind is McNemarKind.ASYMPTOTIC
    assert result.p_value == pytest.approx(stats.chi2.sf(60**2 / 1020, 1))
    assert result.p_value == pytest.approx(result.exact_p_value, rel=0.1)


@pytest.fixture
def arms() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    first = (rng.random(300) < 0.7).astype(float)
    return first, first * (rng.random(300) < 0.2)


@pytest.mark.parametrize("kind", list(BootstrapKind))
@pytest.mark.parametrize("reduction", [False, True])
def test_bootstrap_equals_scipys(arms: tuple[np.ndarray, np.ndarray], kind: BootstrapKind, reduction: bool) -> None:
    def statistic(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        if reduction:
            return 1 - second.mean(axis) / first.mean(axis)
        return second.mean(axis) - first.mean(axis)

    theirs = stats.bootstrap(
        arms, statistic, paired=True, n_resamples=20_000, method=kind.value, rng=np.random.default_rng(0), batch=500
    ).confidence_interval
    function = relative_reduction if reduction else paired_difference
    ours = function(*arms, seed=0, resamples=20_000, kind=kind)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert ours.low < ours.estimate < ours.high
    assert ours.n == 300


def test_bootstrap_is_seeded(arms: tuple[np.ndarray, np.ndarray]) -> None:
    assert paired_difference(*arms, seed=5) == paired_difference(*arms, seed=5)
    assert paired_difference(*arms, seed=5) != paired_difference(*arms, seed=6)


def test_estimates_by_hand() -> None:
    first, second = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0])
    assert paired_difference(first, second, seed=0).estimate == pytest.approx(-0.5)
    assert relative_reduction(np.ones(4), second, seed=0).estimate == pytest.approx(0.75)


def test_equal_arms_differ_by_exactly_nothing(arms: tuple[np.ndarray, np.ndarray]) -> None:
    result = paired_difference(arms[0], arms[0], seed=0)
    assert (result.low, result.estimate, result.high) == (0, 0, 0)


@pytest.mark.parametrize("kind", list(BootstrapKind))
def test_no_reduction_of_nothing(kind: BootstrapKind) -> None:
    with pytest.raises(StatisticsError, match="not finite"):
        relative_reduction(np.zeros(5), np.ones(5), seed=0, kind=kind)


def test_bad_samples_are_refused() -> None:
    with pytest.raises(StatisticsError, match="wanted pairs"):
        paired_difference(np.empty(0), np.empty(0), seed=0)
    with pytest.raises(StatisticsError, match="not finite"):
        paired_difference(np.array([1.0, math.nan]), np.ones(2), seed=0)
    with pytest.raises(StatisticsError, match="wanted pairs"):
        mcnemar(np.empty(0, dtype=bool), np.empty(0, dtype=bool))
