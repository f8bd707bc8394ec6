"""How fast requests get done, so that who is turned away learns when to come back."""

from __future__ import annotations

import math

from server.engines.base import EngineStats

LONGEST = 60
"""Seconds: nobody is sent away for longer on the ground of a guess."""
_WEIGHT = 0.1
"""Of the newest request in the mean."""


class Pace:
    """The mean time of a request, newer ones counting more."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def took(self, seconds: float) -> None:
        """A request was completed, so long after its arrival."""
        mean = seconds if self._seconds is None else self._seconds
        self._seconds = mean + _WEIGHT * (seconds - mean)

    def retry_after(self, stats: EngineStats) -> int:
        """Whole seconds after which what waits now will have been taken up: 1 to 60.

        `running` requests end each mean time, waiting included, of the `running + waiting` that are here.
        """
        if self._seconds is None:
            return 1
        share = stats.waiting / max(1, stats.running + stats.waiting)
        return min(LONGEST, max(1, math.ceil(self._seconds * share)))
