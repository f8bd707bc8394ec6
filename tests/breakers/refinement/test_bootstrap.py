"""Intervals over cases: by hand where few resamples are possible, against SciPy where many are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from breakers.errors import TracingError
from breakers.refinement.bootstrap import CaseBootstrap, share


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_two_cases_by_hand() -> None:
    # Of the resamples a quarter holds only the first case, a quarter only the second.
    found = CaseBootstrap("ab", seed=0, resamples=500).mean(values(0.0, 1.0))
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_cases_of_one_prompt_are_drawn_together() -> None:
    # Drawn one by one, a mean of a quarter or three quarters would be possible; prompts give 0, 1/2 and 1 alone.
    bootstrap = CaseBootstrap("aabb", seed=0, resamples=500)
    found = bootstrap.estimate(lambda means: (np.abs(means - 0.25) < 0.2).astype(float), values(0.0, 0.0, 1.0, 1.0))
    assert (found.low, found.high) == (0.0, 0.0)
    assert bootstrap.mean(values(0.0, 0.0, 1.0, 1.0)).high == 1.0


def test_shares_by_hand_and_where_there_is_no_whole() -> None:
    bootstrap = CaseBootstrap("abc", seed=0, resamples=200)
    part, whole = values(1.0, 2.0, 3.0), values(4.0, 8.0, 12.0)
    found = bootstrap.estimate(share, part, whole)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert bootstrap.estimate(share, part, -whole) is None
    # Positive on the mean, negative on some resample: a value, and no interval.
    unsure = bootstrap.estimate(share, part, values(-1.0, 0.0, 4.0))
    assert (unsure.value, unsure.low, unsure.high) == (2.0, None, None)


def test_it_agrees_with_scipy() -> None:
    drawn = np.random.default_rng(1).normal(size=80)
    found = CaseBootstrap(range(80), seed=0, resamples=4000).mean(torch.from_numpy(drawn))
    theirs = stats.bootstrap(
        (drawn,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(TracingError, match="0 cases"):
        CaseBootstrap([], seed=0, resamples=10)
