"""How long a classifier takes for one call of several prompts, each prompt new to it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from classifiers.base import Conversation, HarmClassifier
from classifiers.errors import FitError

WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of a call."""

    prompts: int
    """In one call."""
    calls: int
    p50: float
    p99: float

    @property
    def per_prompt(self) -> float:
        """Median milliseconds of a call, a prompt."""
        return self.p50 / self.prompts


def latency(classifier: HarmClassifier, prompts: Sequence[Conversation], *, batch: int, calls: int) -> Latency:
    """Time `calls` calls of `batch` prompts, after a few that are not counted.

    Raises:
        FitError: there are no prompts, or nothing is asked for.
    """
    if not prompts or batch < 1 or calls < 1:
        raise FitError(f"{len(prompts)} prompts, {calls} calls of {batch}; wanted one of each at least")
    seconds = []
    for number, chosen in enumerate(islice(_batches(prompts, batch), calls + WARM_UP)):
        start = time.perf_counter()
        classifier.score(chosen)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    milliseconds = 1000 * np.array(seconds)
    p50, p99 = (float(np.percentile(milliseconds, p)) for p in (50, 99))
    return Latency(prompts=batch, calls=calls, p50=p50, p99=p99)


def _batches(prompts: Sequence[Conversation], batch: int) -> Iterator[list[Conversation]]:
    endless = cycle(prompts)
    while True:
        yield list(islice(endless, batch))
