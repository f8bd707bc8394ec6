"""The card of a fitted ensemble; it has no weights but those in the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from classifiers.artifact import CARD_FILE, SourceCard, StrictCard
from classifiers.calibration import CalibrationCard
from classifiers.parts import PartCard


class EnsemblePartCard(PartCard):
    """One part, and how much it counts."""

    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    """Category -> weight of its log-odds; categories that are not named do not count."""


class EnsembleCard(StrictCard):
    """What an ensemble is made of and where it comes from."""

    format_version: Literal[1] = 1
    member: Literal["ensemble"] = "ensemble"
    categories: tuple[str, ...] = Field(min_length=1)
    parts: tuple[EnsemblePartCard, ...] = Field(min_length=1)
    calibration: dict[str, CalibrationCard]
    """Of the weighted mean of each category. Members that disagree give a mean near even; how much that lowers
    confidence is for the calibration to say, which was fitted with their disagreements in it."""
    calibrated_on: dict[str, str] = Field(default_factory=dict)
    """How each category was calibrated, in words."""
    sources: tuple[SourceCard, ...] = ()
    """Data of the weights and calibration; that of the parts is on their cards."""
    seed: int = 0
    figures: dict[str, float] = Field(default_factory=dict)
    """Flat, name -> number, measured on held-out prompts."""
    command: str = ""

    @model_validator(mode="after")
    def _every_category_counts(self) -> EnsembleCard:
        if set(self.calibration) != set(self.categories):
            raise ValueError(f"calibrations are of {sorted(self.calibration)}; wanted {sorted(self.categories)}")
        weighed = {category for part in self.parts for category, weight in part.weights.items() if weight > 0}
        if weighed != set(self.categories):
            raise ValueError(f"parts have weights for {sorted(weighed)}; wanted {sorted(self.categories)}")
        return self


def save_ensemble(card: EnsembleCard, path: Path) -> None:
    """Write the card into directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")
