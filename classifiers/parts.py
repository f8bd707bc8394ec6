"""Members made of members: what their cards say of each part, and how the parts are built.

A part's files lie beside the card or where its path says. A part can be pinned to a name, fit included; then another
fit is refused, because what the card combines was calibrated on that one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from classifiers.artifact import StrictCard, sha256_of
from classifiers.base import HarmClassifier
from classifiers.errors import ArtifactError

PlainMember = Literal["lexical", "lexical-requests", "embedding", "sequence", "remote"]
"""Members that are made of no others."""
Build = Callable[[str, Path | None], HarmClassifier]
"""The factory."""


class PartCard(StrictCard):
    """One part."""

    member: PlainMember
    path: str | None = None
    """Its files, relative to the card's directory; None for the shipped ones."""
    name: str | None = None
    """What it must be called, fit included; None where any fit will do."""


@runtime_checkable
class _Part(Protocol):
    @property
    def member(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...


def build_part(card: _Part, folder: Path, build: Build) -> HarmClassifier:
    """The part that `card` describes.

    Args:
        card: of the part.
        folder: the directory of the whole's card.
        build: the factory.

    Raises:
        ArtifactError: it is another one than the card pins, or its files cannot be read.
    """
    part = build(card.member, None if card.path is None else folder / card.path)
    if card.name is not None and part.name != card.name:
        raise ArtifactError(f"the card in {folder} was made with {card.name}; found {part.name}")
    return part


def digest_of(card: StrictCard, parts: tuple[HarmClassifier, ...]) -> str:
    """Over a card and the names of its parts: another fit of a part is another whole."""
    return sha256_of("\n".join([card.model_dump_json(), *(part.name for part in parts)]).encode())
