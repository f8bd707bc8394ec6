"""What a source of pairs is, and what it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReference:
    """A data set on the Hugging Face Hub."""

    name: str
    """`owner/name`."""
    config: str | None = None
    """None for the one that the reader expects."""
    split: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """What to read. Public sets need a path or a Hub reference; the demo corpus neither."""

    behaviour: str
    path: Path | None = None
    """The published file, or a folder that holds it."""
    hub: HubReference | None = None
    count: int = 1000
    """How many are wanted: sources without end give about so many."""
    seed: int = 0
    validation_share: float = 0.1
    """For sources that have splits of their own."""


@runtime_checkable
class PromptSource(Protocol):
    """Gives prompts, which `sampled` turns into pairs."""

    @property
    def name(self) -> str: ...

    @property
    def licence(self) -> str: ...

    @property
    def behaviours(self) -> tuple[str, ...]:
        """What its prompts provoke."""
        ...

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The prompts.

        Raises:
            PairsError: there is no such file, or it is not in its published format.
        """
        ...


@runtime_checkable
class PairSource(PromptSource, Protocol):
    """Also holds both completions of its prompts."""

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """The pairs.

        Raises:
            PairsError: as for `prompts`.
        """
        ...


def check_behaviour(source: PromptSource, behaviour: str) -> None:
    """Refuse a behaviour that a source says nothing about.

    Raises:
        PairsError: naming those that it has.
    """
    if behaviour not in source.behaviours:
        known = ", ".join(source.behaviours)
        raise PairsError(f"source {source.name} has nothing on {behaviour!r}; wanted one of {known}")
