"""95 % intervals over cases: a percentile bootstrap of any statistic of the cases' means.

Cases of the same prompt are drawn together, since they are no independent evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from breakers.errors import TracingError
from breakers.refinement.manifest import Estimate

Means = Float64[np.ndarray, "... resample"]
Statistic = Callable[..., Float64[np.ndarray, " resample"]]
"""From the means of each given array over cases, once for each resample, to one number for each resample."""
_TAILS = (0.025, 0.975)


class CaseBootstrap:
    """Resamples of one list of cases, the same for all figures."""

    def __init__(self, groups: Sequence[Hashable], *, seed: int, resamples: int) -> None:
        """Draw.

        Args:
            groups: of each case, what it shares with others: its prompt.
            seed: of the draws.
            resamples: how many.

        Raises:
            TracingError: there are no cases, or no resamples.
        """
        if not groups or resamples < 1:
            raise TracingError(f"{len(groups)} cases, {resamples} resamples; wanted at least one of each")
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        group_of_case = [numbers[group] for group in groups]
        drawn = np.random.default_rng(seed).multinomial(len(numbers), [1 / len(numbers)] * len(numbers), resamples)
        counts = drawn[:, group_of_case].astype(np.float64)
        self._weights = counts / counts.sum(1, keepdims=True)

    def estimate(self, statistic: Statistic, *values: Float64[Tensor, "... case"]) -> Estimate | None:
        """A statistic of means over cases, with its interval; None where it is not finite.

        The interval's ends are None where the statistic is not finite on every resample.

        Args:
            statistic: see there.
            values: of each case, such as the measure under some patch; any leading axes.
        """
        arrays = [value.numpy() for value in values]
        point = float(statistic(*(array.mean(-1, keepdims=True) for array in arrays))[0])
        if not math.isfinite(point):
            return None
        draws = statistic(*(array @ self._weights.T for array in arrays))
        if not np.isfinite(draws).all():
            return Estimate(value=point, low=None, high=None)
        low, high = np.quantile(draws, _TAILS)
        return Estimate(value=point, low=float(low), high=float(high))

    def mean(self, values: Float64[Tensor, " case"]) -> Estimate:
        """The mean over cases."""
        found = self.estimate(lambda means: means, values)
        if found is None:
            raise TracingError("a measured value is NaN or infinite; wanted finite ones")
        return found


def share(part: Means, whole: Means) -> Means:
    """part / whole; NaN where the whole is not positive, so that there is nothing to have a share of."""
    positive = whole > 0
    result: Means = np.where(positive, part / np.where(positive, whole, 1.0), np.nan)
    return result
