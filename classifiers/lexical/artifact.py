"""The files of a fitted lexical classifier: `weights.safetensors` and `card.json`, the card owning the hash."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32
from pydantic import Field
from safetensors.numpy import save

from classifiers.artifact import (
    CARD_FILE,
    WEIGHTS_FILE,
    ConversationCard,
    SourceCard,
    StrictCard,
    checked_tensor,
    read_card,
    read_tensors,
    save_artifact,
)
from classifiers.artifact import sha256_of as weights_sha256
from classifiers.errors import ArtifactError
from classifiers.lexical.hashing import FeatureGroup, Hashing, Unit

__all__ = [
    "CARD_FILE",
    "WEIGHTS_FILE",
    "ConversationCard",
    "FeatureGroupCard",
    "HashingCard",
    "LexicalCard",
    "LexicalTensors",
    "SourceCard",
    "load_card",
    "load_tensors",
    "save_artifact",
    "weights_sha256",
]


class FeatureGroupCard(StrictCard):
    """`FeatureGroup`, as written."""

    unit: Unit
    orders: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(min_length=1)
    weight: float = Field(gt=0)


class HashingCard(StrictCard):
    """`Hashing`, as written."""

    bits: int = Field(ge=8, le=22)
    groups: tuple[FeatureGroupCard, ...] = Field(min_length=1)

    def hashing(self) -> Hashing:
        """The settings as the hasher takes them."""
        groups = tuple(FeatureGroup(unit=g.unit, orders=g.orders, weight=g.weight) for g in self.groups)
        return Hashing(bits=self.bits, groups=groups)


class LexicalCard(StrictCard):
    """What a fitted classifier is and where it comes from."""

    format_version: Literal[1] = 1
    member: Literal["lexical"] = "lexical"
    categories: tuple[str, ...]
    hashing: HashingCard
    conversation: ConversationCard
    readings: bool = False
    """Whether disguised text is read as what it says (`classifiers.text`); cards from before do not say."""
    sources: tuple[SourceCard, ...]
    seed: int
    regularisation: float
    """Inverse strength C of the L2 penalty."""
    calibration: dict[str, str]
    """How each category was calibrated, in words."""
    figures: dict[str, float]
    """Flat, name -> number, measured on held-out prompts."""
    command: str
    weights_sha256: str


class LexicalTensors:
    """The arrays of a fitted classifier; checked once, here."""

    __slots__ = ("calibration_intercept", "calibration_slope", "intercept", "weights")

    def __init__(
        self,
        *,
        weights: Float32[np.ndarray, "bucket category"],
        intercept: Float32[np.ndarray, " category"],
        calibration_slope: Float32[np.ndarray, " category"],
        calibration_intercept: Float32[np.ndarray, " category"],
    ) -> None:
        self.weights = weights
        self.intercept = intercept
        self.calibration_slope = calibration_slope
        """P = sigmoid(slope * logit + intercept); at least 0."""
        self.calibration_intercept = calibration_intercept

    def serialise(self) -> bytes:
        """Safetensors, the weights in half precision."""
        data: bytes = save(
            {
                "weights": self.weights.astype(np.float16),
                "intercept": self.intercept,
                "calibration_slope": self.calibration_slope,
                "calibration_intercept": self.calibration_intercept,
            }
        )
        return data


def load_card(path: Path) -> LexicalCard:
    """Read a card.

    Raises:
        ArtifactError: it is missing or not in the format.
    """
    return read_card(path, LexicalCard, member="lexical")


def load_tensors(path: Path, card: LexicalCard) -> LexicalTensors:
    """Read and verify the weights that `card` names.

    Raises:
        ArtifactError: they are missing, have another hash or other shapes, or are not finite.
    """
    tensors = read_tensors(path / WEIGHTS_FILE, card.weights_sha256)
    categories = (len(card.categories),)
    arrays = {
        name: checked_tensor(tensors, name, shape)
        for name, shape in (
            ("weights", (2**card.hashing.bits, *categories)),
            ("intercept", categories),
            ("calibration_slope", categories),
            ("calibration_intercept", categories),
        )
    }
    if (arrays["calibration_slope"] < 0).any():
        raise ArtifactError("a calibration slope is below 0; a calibrated score must not fall as the logit grows")
    return LexicalTensors(**arrays)
