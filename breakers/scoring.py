"""The protocol of harm scorers H(y), declared here so that stages below `classifiers` can take one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredReply:
    """A reply, and the conversation that it answers."""

    messages: Sequence[Mapping[str, str]]
    """The prompt: `role` and `content` of each turn, the last one the user's."""
    reply: str


@runtime_checkable
class HarmScorer(Protocol):
    """H(y): how much a reply shows each behaviour, in [0, 1]."""

    @property
    def name(self) -> str:
        """What reports and artifacts call this scorer."""
        ...

    @property
    def behaviours(self) -> tuple[str, ...]:
        """The behaviours that `score` returns."""
        ...

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        """One dict a reply, behaviour -> score in [0, 1]; a score of at least 0.5 counts as harmful."""
        ...
