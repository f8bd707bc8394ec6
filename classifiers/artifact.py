"""The files of a fitted member: `card.json`, and `weights.safetensors`, whose hash the card owns.

Members add their own card and tensors; reading, hashing and checking is done here. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from classifiers.conversation import ConversationWeights
from classifiers.errors import ArtifactError
from classifiers.lexical.artifact import CARD_FILE, WEIGHTS_FILE, SourceCard
from classifiers.reading import ReadingWeights

__all__ = [
    "CARD_FILE",
    "NAME_DIGITS",
    "WEIGHTS_FILE",
    "Card",
    "ConversationCard",
    "SourceCard",
    "StrictCard",
    "checked_tensor",
    "read_card",
    "read_tensors",
    "save_artifact",
    "sha256_of",
    "sha256_of_file",
]

NAME_DIGITS = 6
"""Digits of a hash that a member's name shows."""


class StrictCard(BaseModel):
    """Part of a card; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConversationCard(StrictCard):
    """`ReadingWeights`, as written."""

    turn_decay: float = Field(ge=0, le=1)
    system_weight: float = Field(ge=0, le=1)
    context_limit: float = Field(ge=0)
    tool_weight: float = Field(default=0.0, ge=0, le=1)

    def weights(self) -> ReadingWeights:
        """The same as conversations are read with."""
        turns = ConversationWeights(
            turn_decay=self.turn_decay, system_weight=self.system_weight, context_limit=self.context_limit
        )
        return ReadingWeights(turns=turns, tool_weight=self.tool_weight)


@runtime_checkable
class _NamesWeights(Protocol):
    @property
    def weights_sha256(self) -> str: ...
    def model_dump(self, *, mode: str) -> dict[str, object]: ...


Card = TypeVar("Card", bound=StrictCard)


def sha256_of(data: bytes) -> str:
    """What a card names bytes by."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The same of a file, read in pieces.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


def save_artifact(card: _NamesWeights, weights: bytes, path: Path) -> None:
    """Write both files into `path`, the card last.

    Raises:
        ArtifactError: the card does not name these weights.
    """
    if card.weights_sha256 != sha256_of(weights):
        raise ArtifactError(f"the card names weights {card.weights_sha256[:12]}, not {sha256_of(weights)[:12]}")
    path.mkdir(parents=True, exist_ok=True)
    (path / WEIGHTS_FILE).write_bytes(weights)
    (path / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")


def read_card(path: Path, kind: type[Card], *, member: str) -> Card:
    """The card in directory `path`.

    Raises:
        ArtifactError: it is missing or not in the format.
    """
    try:
        return kind.model_validate_json((path / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"no classifier card: {error}") from error
    except ValidationError as error:
        raise ArtifactError(f"{path / CARD_FILE} is not a card of member {member!r}: {error}") from error


def read_tensors(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """The tensors in file `path`.

    Raises:
        ArtifactError: it is missing, no safetensors, or has another hash than `sha256`.
    """
    try:
        data = path.read_bytes()
        found = sha256_of(data)
        if found != sha256:
            raise ArtifactError(f"{path} has sha256 {found}; its card names {sha256}")
        tensors: dict[str, np.ndarray] = load(data)
        return tensors
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"the weights of the classifier cannot be read: {error}") from error


def checked_tensor(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
    """One tensor of a shape, finite, in single precision.

    Raises:
        ArtifactError: it is missing, has another shape, or holds what is no number.
    """
    found = tensors.get(name)
    if found is None or found.shape != shape:
        raise ArtifactError(f"tensor {name!r} is {None if found is None else found.shape}; wanted {shape}")
    if not np.isfinite(found).all():
        raise ArtifactError(f"tensor {name!r} holds values that are not finite")
    return found.astype(np.float32)
