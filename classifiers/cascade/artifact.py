"""The card of a cascade."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from classifiers.artifact import CARD_FILE, StrictCard
from classifiers.parts import PartCard


class BandCard(StrictCard):
    """Scores of the cheap part between which it is not sure, both included."""

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> BandCard:
        if self.low > self.high:
            raise ValueError(f"the band begins at {self.low} and ends at {self.high}")
        return self


class DearCard(StrictCard):
    """The dear part, which may be an ensemble."""

    member: Literal["lexical", "embedding", "sequence", "remote", "ensemble"]
    path: str | None = None
    """Its files, relative to the card's directory; None for the shipped ones."""
    name: str | None = None
    """What it must be called, fit included; None where any fit will do."""


class CascadeCard(StrictCard):
    """What a cascade is made of."""

    format_version: Literal[1] = 1
    member: Literal["cascade"] = "cascade"
    cheap: PartCard
    dear: DearCard
    band: BandCard
    """Of each category that `bands` does not name."""
    bands: dict[str, BandCard] = Field(default_factory=dict)
    """By category."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Flat, name -> number, measured on held-out prompts."""
    command: str = ""


def save_cascade(card: CascadeCard, path: Path) -> None:
    """Write the card into directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")
