"""The files of a fitted embedding classifier: card, head, and what of the encoder is its own.

Fine-tuned upper layers are kept as their difference from the encoder's, in 8 bits: what is rounded is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32
from pydantic import Field, model_validator
from safetensors.numpy import save

from classifiers.artifact import (
    WEIGHTS_FILE,
    ConversationCard,
    SourceCard,
    StrictCard,
    checked_tensor,
    read_card,
    read_tensors,
    save_artifact,
    sha256_of,
)
from classifiers.calibration import CalibrationCard
from classifiers.embedding.encoder import SentenceEncoder, TokenWindows
from classifiers.embedding.files import OWN_FOLDER, PACKAGE, encoder_sha256, package_folder, read_files
from classifiers.embedding.layers import LAYERS_FILE, moved_by, read_movement
from classifiers.errors import ArtifactError


class WindowsCard(StrictCard):
    """`TokenWindows`, as written."""

    tokens: int = Field(default=256, ge=8)
    overlap: int = Field(default=32, ge=0)
    limit: int = Field(default=64, ge=1)

    def windows(self) -> TokenWindows:
        """The same as the encoder takes them."""
        return TokenWindows(**self.model_dump())


class EmbeddingCard(StrictCard):
    """What a fitted classifier is and where it comes from."""

    format_version: Literal[1] = 1
    member: Literal["embedding"] = "embedding"
    categories: tuple[str, ...] = Field(min_length=1)
    encoder: Literal["package", "own"]
    """The installed package's encoder, or one whose files are beside the head's."""
    encoder_sha256: str
    """`classifiers.embedding.files.encoder_sha256` of its files."""
    layers_sha256: str | None = None
    """Of the file with which the encoder's upper layers are fine-tuned; None where they are as they came."""
    windows: WindowsCard = WindowsCard()
    conversation: ConversationCard
    readings: bool = True
    """Whether disguised text is read as what it says (`classifiers.text`)."""
    calibration: dict[str, CalibrationCard]
    """Of each category."""
    calibrated_on: dict[str, str] = Field(default_factory=dict)
    """How each category was calibrated, in words."""
    sources: tuple[SourceCard, ...]
    seed: int
    training: dict[str, float | int | str] = Field(default_factory=dict)
    """Settings of the fit, by name."""
    figures: dict[str, float]
    """Flat, name -> number, measured on held-out prompts."""
    command: str
    weights_sha256: str
    """Of the head."""

    @model_validator(mode="after")
    def _each_category_is_calibrated(self) -> EmbeddingCard:
        if set(self.calibration) != set(self.categories):
            raise ValueError(f"calibrations are of {sorted(self.calibration)}; wanted {sorted(self.categories)}")
        return self


class EmbeddingTensors:
    """The arrays of a fitted head; checked once, here."""

    __slots__ = ("intercept", "weights")

    def __init__(
        self, *, weights: Float32[np.ndarray, "d_model category"], intercept: Float32[np.ndarray, " category"]
    ) -> None:
        self.weights = weights
        self.intercept = intercept

    def serialise(self) -> bytes:
        """Safetensors."""
        data: bytes = save({"weights": self.weights, "intercept": self.intercept})
        return data


def save_embedding(
    card: EmbeddingCard,
    tensors: EmbeddingTensors,
    path: Path,
    *,
    encoder: Mapping[str, bytes] | None = None,
    layers: bytes | None = None,
) -> None:
    """Write a fitted classifier into `path`, the card last.

    Args:
        card: names the head by the hash of `tensors.serialise()`, and the encoder by its own.
        tensors: the head.
        path: a directory, made where it is missing.
        encoder: of an encoder of its own, the files (`classifiers.embedding.files.encoder_files`).
        layers: of fine-tuned layers, how they were moved (`classifiers.embedding.layers.movement`).

    Raises:
        ArtifactError: the card does not name this head, this encoder or these layers.
    """
    found = None if layers is None else sha256_of(layers)
    if found != card.layers_sha256:
        raise ArtifactError(f"fine-tuned layers have sha256 {found}; the card names {card.layers_sha256}")
    if (card.encoder == "own") != (encoder is not None):
        raise ArtifactError(f'the card\'s encoder is {card.encoder!r}; wanted files for "own" and for it alone')
    if encoder is not None:
        _check_encoder(card, encoder)
        (path / OWN_FOLDER).mkdir(parents=True, exist_ok=True)
        for name, data in encoder.items():
            (path / OWN_FOLDER / name).write_bytes(data)
    if layers is not None:
        path.mkdir(parents=True, exist_ok=True)
        (path / LAYERS_FILE).write_bytes(layers)
    save_artifact(card, tensors.serialise(), path)


def load_card(path: Path) -> EmbeddingCard:
    """Read a card.

    Raises:
        ArtifactError: it is missing or not in the format.
    """
    return read_card(path, EmbeddingCard, member="embedding")


def load_tensors(path: Path, card: EmbeddingCard, d_model: int) -> EmbeddingTensors:
    """Read and verify the head that `card` names, for an encoder of that width.

    Raises:
        ArtifactError: it is missing, has another hash or other shapes, or is not finite.
    """
    tensors = read_tensors(path / WEIGHTS_FILE, card.weights_sha256)
    categories = len(card.categories)
    return EmbeddingTensors(
        weights=checked_tensor(tensors, "weights", (d_model, categories)),
        intercept=checked_tensor(tensors, "intercept", (categories,)),
    )


def load_encoder(path: Path, card: EmbeddingCard) -> SentenceEncoder:
    """Read and verify the encoder that `card` names.

    Raises:
        ArtifactError: it is missing or another one.
    """
    own = card.encoder == "own"
    files = read_files(path / OWN_FOLDER if own else package_folder())
    _check_encoder(card, files)
    name = f"encoder:{card.encoder_sha256[:6]}" if own else PACKAGE
    return SentenceEncoder.from_files(files, name=name, windows=card.windows.windows())


def load_scoring(path: Path, card: EmbeddingCard, encoder: SentenceEncoder) -> SentenceEncoder:
    """The encoder that the head was fitted on: `encoder`, its upper layers fine-tuned where the card says so.

    Raises:
        ArtifactError: the layers are missing, others than the card names, or do not fit the encoder.
    """
    if card.layers_sha256 is None:
        return encoder
    try:
        data = (path / LAYERS_FILE).read_bytes()
    except OSError as error:
        raise ArtifactError(f"the fine-tuned layers cannot be read: {error}") from error
    if sha256_of(data) != card.layers_sha256:
        raise ArtifactError(f"{LAYERS_FILE} has sha256 {sha256_of(data)}; its card names {card.layers_sha256}")
    return encoder.with_upper_layers(moved_by(encoder.model, read_movement(data)), sha256=card.layers_sha256)


def _check_encoder(card: EmbeddingCard, files: Mapping[str, bytes]) -> None:
    found = encoder_sha256(files)
    if found != card.encoder_sha256:
        raise ArtifactError(f"the encoder has sha256 {found}; its card names {card.encoder_sha256}")
