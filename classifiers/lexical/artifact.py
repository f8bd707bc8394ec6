"""The files of a fitted lexical classifier: `weights.safetensors` and `card.json`, the card owning the hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from classifiers.errors import ArtifactError
from classifiers.lexical.hashing import FeatureGroup, Hashing, Unit

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureGroupCard(_Strict):
    """`FeatureGroup`, as written."""

    unit: Unit
    orders: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(min_length=1)
    weight: float = Field(gt=0)


class HashingCard(_Strict):
    """`Hashing`, as written."""

    bits: int = Field(ge=8, le=22)
    groups: tuple[FeatureGroupCard, ...] = Field(min_length=1)

    def hashing(self) -> Hashing:
        """The settings as the hasher takes them."""
        groups = tuple(FeatureGroup(unit=g.unit, orders=g.orders, weight=g.weight) for g in self.groups)
        return Hashing(bits=self.bits, groups=groups)


class ConversationCard(_Strict):
    """`ConversationWeights`, as written."""

    turn_decay: float = Field(ge=0, le=1)
    system_weight: float = Field(ge=0, le=1)
    context_limit: float = Field(ge=0)


class SourceCard(_Strict):
    """One data set that trained the classifier."""

    name: str
    licence: str
    rows: int
    """Rows used for fitting, after deduplication and sampling."""
    positives: dict[str, int]
    """Positive rows by category."""
    sha256: str
    """Over the normalised texts and labels that were used, in order."""


class LexicalCard(_Strict):
    """What a fitted classifier is and where it comes from."""

    format_version: Literal[1] = 1
    member: Literal["lexical"] = "lexical"
    categories: tuple[str, ...]
    hashing: HashingCard
    conversation: ConversationCard
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


def weights_sha256(data: bytes) -> str:
    """What a card names its weights by."""
    return hashlib.sha256(data).hexdigest()


def save_artifact(card: LexicalCard, weights: bytes, path: Path) -> None:
    """Write both files into `path`, the card last.

    Raises:
        ArtifactError: the card does not name these weights.
    """
    if card.weights_sha256 != weights_sha256(weights):
        raise ArtifactError(f"the card names weights {card.weights_sha256[:12]}, not {weights_sha256(weights)[:12]}")
    path.mkdir(parents=True, exist_ok=True)
    (path / WEIGHTS_FILE).write_bytes(weights)
    (path / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")


def load_card(path: Path) -> LexicalCard:
    """Read a card.

    Raises:
        ArtifactError: it is missing or not in the format.
    """
    try:
        return LexicalCard.model_validate_json((path / CARD_FILE).read_text())
    except OSError as error:
        raise ArtifactError(f"no classifier card: {error}") from error
    except ValidationError as error:
        raise ArtifactError(f"{path / CARD_FILE} is not a lexical classifier card: {error}") from error


def load_tensors(path: Path, card: LexicalCard) -> LexicalTensors:
    """Read and verify the weights that `card` names.

    Raises:
        ArtifactError: they are missing, have another hash or other shapes, or are not finite.
    """
    try:
        data = (path / WEIGHTS_FILE).read_bytes()
        found = weights_sha256(data)
        if found != card.weights_sha256:
            raise ArtifactError(f"{path / WEIGHTS_FILE} has sha256 {found}; its card names {card.weights_sha256}")
        tensors = load(data)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"the weights of the classifier cannot be read: {error}") from error
    categories = (len(card.categories),)
    arrays = {
        name: _checked(tensors, name, shape)
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


def _checked(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
    found = tensors.get(name)
    if found is None or found.shape != shape:
        raise ArtifactError(f"tensor {name!r} is {None if found is None else found.shape}; wanted {shape}")
    if not np.isfinite(found).all():
        raise ArtifactError(f"tensor {name!r} holds values that are not finite")
    return found.astype(np.float32)
