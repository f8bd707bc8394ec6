"""Calibration as members carry it: from log-odds to calibrated log-odds, by category, never decreasing.

Log-odds and not probabilities, because the turns of a conversation and the members of an ensemble are added up there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64
from pydantic import Field, model_validator

from classifiers.artifact import StrictCard


class TemperatureCard(StrictCard):
    """Calibrated log-odds = log-odds / temperature + shift; with a shift this is Platt's scaling."""

    kind: Literal["temperature"] = "temperature"
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    shift: float = Field(default=0.0, allow_inf_nan=False)

    def calibrated(self, log_odds: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Calibrated log-odds."""
        return log_odds / self.temperature + self.shift


class IsotonicCard(StrictCard):
    """Probabilities at breakpoints, straight in between and level beyond."""

    kind: Literal["isotonic"] = "isotonic"
    log_odds: tuple[float, ...] = Field(min_length=1)
    """Breakpoints, increasing."""
    probabilities: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    """One for each, not decreasing; 0 and 1 are left out, because no data shows them."""

    @model_validator(mode="after")
    def _in_order(self) -> IsotonicCard:
        if len(self.log_odds) != len(self.probabilities):
            raise ValueError(f"{len(self.log_odds)} breakpoints have {len(self.probabilities)} probabilities")
        if any(a >= b for a, b in pairwise(self.log_odds)) or not np.isfinite(self.log_odds).all():
            raise ValueError("log_odds are not increasing")
        if any(a > b for a, b in pairwise(self.probabilities)):
            raise ValueError("probabilities decrease; a higher score must not mean less harm")
        return self

    def calibrated(self, log_odds: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Calibrated log-odds."""
        p = np.interp(log_odds, self.log_odds, self.probabilities)
        result: Float64[np.ndarray, " n"] = np.log(p) - np.log1p(-p)
        return result


CalibrationCard: TypeAlias = Annotated[TemperatureCard | IsotonicCard, Field(discriminator="kind")]


def calibrate(
    cards: dict[str, CalibrationCard], categories: tuple[str, ...], log_odds: Float64[np.ndarray, "text category"]
) -> Float64[np.ndarray, "text category"]:
    """Each column by its category's calibration."""
    columns = [cards[category].calibrated(log_odds[:, n]) for n, category in enumerate(categories)]
    return np.stack(columns, axis=1) if columns else log_odds
