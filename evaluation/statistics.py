"""Statistics of paired comparisons: every function is pure, and seeded where it draws.

Proportions get Wilson's score interval. Differences and relative reductions of paired outcomes get a bootstrap over
prompts: percentile intervals by default, bias-corrected and accelerated (BCa) ones on request. Paired binary
outcomes are tested with McNemar's test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float64

from evaluation.errors import StatisticsError

DEFAULT_RESAMPLES = 10_000
EXACT_LIMIT = 1_000
"""McNemar's test is mid-p exact up to this many discordant pairs, asymptotic above."""
_CHUNK_VALUES = 4_000_000

PairStatistic = Callable[
    [Float64[np.ndarray, "*sample"], Float64[np.ndarray, "*sample"]], Float64[np.ndarray, "*sample"]
]


class BootstrapKind(StrEnum):
    """How an interval is read off the resampled statistics."""

    PERCENTILE = "percentile"
    BCA = "bca"


class McNemarKind(StrEnum):
    """Which form of the test gave the p-value."""

    MID_P = "mid_p"
    ASYMPTOTIC = "asymptotic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float
    level: float
    n: int
    """Prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarResult:
    """Whether two arms differ on paired binary outcomes."""

    only_first: int
    """Pairs in which only the first arm's outcome is true."""
    only_second: int
    p_value: float
    """Two-sided, of the form named by `kind`."""
    exact_p_value: float
    """Two-sided binomial; conservative."""
    kind: McNemarKind


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval (1927) of a proportion, without continuity correction.

    Raises:
        StatisticsError: not 0 <= successes <= n, or n < 1, or the level is not in (0, 1).
    """
    _check_level(level)
    if n < 1 or not 0 <= successes <= n:
        raise StatisticsError(f"{successes} successes of {n}; wanted 0 <= successes <= n and n >= 1")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(estimate=p, low=low, high=high, level=level, n=n)


def paired_difference(
    first: Float64[np.ndarray, " n"],
    second: Float64[np.ndarray, " n"],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    kind: BootstrapKind = BootstrapKind.PERCENTILE,
) -> Interval:
    """mean(second) - mean(first), pairs resampled together.

    Raises:
        StatisticsError: the samples are empty, of different lengths or not finite.
    """
    return paired_bootstrap(first, second, _difference, seed=seed, level=level, resamples=resamples, kind=kind)


def relative_reduction(
    first: Float64[np.ndarray, " n"],
    second: Float64[np.ndarray, " n"],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    kind: BootstrapKind = BootstrapKind.PERCENTILE,
) -> Interval:
    """1 - mean(second) / mean(first), pairs resampled together: 1 is "all gone", 0 "as before".

    Raises:
        StatisticsError: as `paired_difference`, or the mean of `first`, or of a resample of it, is 0.
    """
    return paired_bootstrap(first, second, _reduction, seed=seed, level=level, resamples=resamples, kind=kind)


def paired_bootstrap(
    first: Float64[np.ndarray, " n"],
    second: Float64[np.ndarray, " n"],
    statistic: PairStatistic,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    kind: BootstrapKind = BootstrapKind.PERCENTILE,
) -> Interval:
    """A bootstrap interval of a statistic of the two means, over prompts (Efron and Tibshirani 1993).

    Args:
        statistic: (mean of first, mean of second) -> value, elementwise over arrays of means.

    Raises:
        StatisticsError: the samples are empty, of different lengths or not finite, or the statistic is not finite.
    """
    _check_level(level)
    if len(first) != len(second) or len(first) == 0 or resamples < 1:
        raise StatisticsError(f"samples of {len(first)} and {len(second)}, {resamples} resamples; wanted pairs")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise StatisticsError("a sample holds values that are not finite")
    n = len(first)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(first.mean(keepdims=True), second.mean(keepdims=True))[0])
        draws = statistic(*_resampled_means(first, second, resamples, seed))
        tails = np.array([0.5 - level / 2, 0.5 + level / 2])
        if kind is BootstrapKind.BCA:
            jackknife = statistic((first.sum() - first) / max(n - 1, 1), (second.sum() - second) / max(n - 1, 1))
            tails = _bca_tails(tails, draws, estimate, jackknife)
    if not (math.isfinite(estimate) and np.isfinite(draws).all()):
        raise StatisticsError("the statistic is not finite on the samples or a resample; is the first arm all 0?")
    low, high = np.quantile(draws, tails)
    return Interval(estimate=estimate, low=float(low), high=float(high), level=level, n=n)


def mcnemar(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> McNemarResult:
    """McNemar's test: mid-p exact (Fagerland et al. 2013) up to 1,000 discordant pairs, asymptotic above.

    The asymptotic form has no continuity correction. Without discordant pairs the p-value is 1.

    Raises:
        StatisticsError: the samples are empty or of different lengths.
    """
    if len(first) != len(second) or len(first) == 0:
        raise StatisticsError(f"samples of {len(first)} and {len(second)}; wanted pairs")
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    n = b + c
    exact, point = _binomial_two_sided(min(b, c), n)
    if n > EXACT_LIMIT:
        p_value, kind = math.erfc(abs(b - c) / math.sqrt(2 * n)), McNemarKind.ASYMPTOTIC
    else:
        # Half of the observed table's probability in each tail; with b = c it is the centre of both.
        p_value, kind = (exact - point if b != c else 1.0 - point / 2) if n else 1.0, McNemarKind.MID_P
    return McNemarResult(only_first=b, only_second=c, p_value=p_value, exact_p_value=exact, kind=kind)


def _difference(
    first: Float64[np.ndarray, "*sample"], second: Float64[np.ndarray, "*sample"]
) -> Float64[np.ndarray, "*sample"]:
    result: Float64[np.ndarray, "*sample"] = second - first
    return result


def _reduction(
    first: Float64[np.ndarray, "*sample"], second: Float64[np.ndarray, "*sample"]
) -> Float64[np.ndarray, "*sample"]:
    result: Float64[np.ndarray, "*sample"] = 1.0 - second / first
    return result


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise StatisticsError(f"confidence level is {level}; wanted a number in (0, 1)")


def _resampled_means(
    first: Float64[np.ndarray, " n"], second: Float64[np.ndarray, " n"], resamples: int, seed: int
) -> tuple[Float64[np.ndarray, " resample"], Float64[np.ndarray, " resample"]]:
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // len(first))
    firsts, seconds = [], []
    for start in range(0, resamples, chunk):
        index = generator.integers(0, len(first), size=(min(chunk, resamples - start), len(first)))
        firsts.append(first[index].mean(1))
        seconds.append(second[index].mean(1))
    return np.concatenate(firsts), np.concatenate(seconds)


def _bca_tails(
    tails: Float64[np.ndarray, " tail"],
    draws: Float64[np.ndarray, " resample"],
    estimate: float,
    jackknife: Float64[np.ndarray, " n"],
) -> Float64[np.ndarray, " tail"]:
    """Quantile levels moved for bias and acceleration (Efron 1987); unmoved where the statistic does not vary."""
    below = ((draws < estimate).sum() + 0.5 * (draws == estimate).sum()) / len(draws)
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum()) ** 1.5
    if not 0 < below < 1 or spread == 0:
        return tails
    normal = NormalDist()
    bias, acceleration = normal.inv_cdf(float(below)), float((deviations**3).sum()) / (6 * spread)
    z = np.array([normal.inv_cdf(float(t)) for t in tails])
    moved = bias + (bias + z) / (1 - acceleration * (bias + z))
    return np.array([normal.cdf(float(m)) for m in moved])


def _binomial_two_sided(k: int, n: int) -> tuple[float, float]:
    """(two-sided p-value, probability of exactly k) of k <= n / 2 successes under p = 1/2."""
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.fsum(math.exp(x) for x in logs)), math.exp(logs[k])
