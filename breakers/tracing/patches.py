"""What is patched, with what, where, and what is asked of the model under it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from breakers.errors import TracingError
from breakers.sites import Site
from breakers.training.batches import Pair

Patch: TypeAlias = tuple[Site, ...]
"""Sites whose activations are replaced together, in one run; a single head or neuron is a patch of one site."""


class PatchSource(StrEnum):
    """Where the activation comes from that replaces the model's own."""

    CONTRAST = "contrast"
    """The same position of the run on the contrast prompt, followed by the same completion."""
    COMPLETION = "completion"
    """The same offset after the prompt in the run on the neutral completion; prompts are shared, so nothing changes
    before the first token that differs."""
    MEAN = "mean"
    """The mean over neutral runs, one for each position class: the last prompt token, and each offset after it."""


class Positions(StrEnum):
    """Which tokens are patched."""

    GENERATION = "generation"
    """From the last prompt token on: where an intervention of scope `generation` acts."""
    ALL = "all"
    """Every token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCase:
    """One pair as tokens, with its contrast prompt where there is one."""

    pair: Pair
    contrast: tuple[int, ...] | None = None
    """A minimal edit of the prompt under which the model stays neutral; as many tokens as the prompt."""

    def __post_init__(self) -> None:
        if self.contrast is not None and len(self.contrast) != len(self.prompt):
            raise TracingError(
                f"a contrast prompt has {len(self.contrast)} tokens, its prompt {len(self.prompt)}; wanted as many"
            )

    @property
    def prompt(self) -> tuple[int, ...]:
        """Token ids of the prompt."""
        return self.pair.harmful.prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchConfig:
    """How to patch."""

    source: PatchSource = PatchSource.CONTRAST
    positions: Positions = Positions.GENERATION
    batch_tokens: int = 4096
    """Most tokens in a forward pass, cases times patches times positions: memory against speed."""

    def __post_init__(self) -> None:
        if self.batch_tokens < 1:
            raise TracingError(f"batch_tokens is {self.batch_tokens}; wanted at least 1")
