"""A logistic regression over a few named features, and its file: a JSON card that holds its weights and its data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifiers.errors import ArtifactError
from classifiers.lexical.artifact import SourceCard

CARD_FILE = "card.json"


class LinearCard(BaseModel):
    """What a fitted regression is and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    behaviour: str
    weights: dict[str, float] = Field(min_length=1)
    """Feature -> weight on its log-odds."""
    intercept: float
    sources: tuple[SourceCard, ...]
    seed: int
    regularisation: float
    """Inverse strength C of the L2 penalty, on features scaled to unit variance."""
    figures: dict[str, float]
    """Flat, name -> number, measured on held-out rows."""
    command: str
    weights_sha256: str


class LinearModel:
    """P = sigmoid(weights * features + intercept)."""

    def __init__(self, card: LinearCard) -> None:
        self.card = card

    @classmethod
    def load(cls, path: Path) -> LinearModel:
        """Read and verify a card.

        Args:
            path: directory that holds it.

        Raises:
            ArtifactError: it is missing, not in the format, or its weights are not those that it names.
        """
        try:
            card = LinearCard.model_validate_json((path / CARD_FILE).read_bytes())
        except OSError as error:
            raise ArtifactError(f"no scorer card: {error}") from error
        except ValidationError as error:
            raise ArtifactError(f"{path / CARD_FILE} is not the card of a linear scorer: {error}") from error
        found = linear_sha256(card.weights, card.intercept)
        if found != card.weights_sha256:
            raise ArtifactError(f"{path / CARD_FILE} has weights {found[:12]}; it names {card.weights_sha256[:12]}")
        return cls(card)

    def probability(self, features: Mapping[str, float]) -> float:
        """P in [0, 1] of a row's features, which must have every name of the card."""
        odds = self.card.intercept + math.fsum(w * features[name] for name, w in self.card.weights.items())
        return 0.5 * (1.0 + math.tanh(0.5 * odds))


def linear_sha256(weights: Mapping[str, float], intercept: float) -> str:
    """What a card names its weights by; weights are finite or the hash is refused.

    Raises:
        ArtifactError: a weight is not finite.
    """
    try:
        text = json.dumps([sorted(weights.items()), intercept], allow_nan=False)
    except ValueError as error:
        raise ArtifactError(f"weights {dict(weights)} and intercept {intercept} are not all finite") from error
    return hashlib.sha256(text.encode()).hexdigest()


def save_linear(card: LinearCard, path: Path) -> None:
    """Write a card into the directory `path`."""
    # Loads torch, which reading a card does without.
    from breakers.bundles.store import write_atomically

    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / CARD_FILE, (json.dumps(card.model_dump(mode="json"), indent=2) + "\n").encode())
