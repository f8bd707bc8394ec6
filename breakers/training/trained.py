"""What a training moves, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from breakers.interventions import Intervention

Interventions: TypeAlias = dict[str, tuple[Intervention, ...]]
"""By the name of the task."""


@runtime_checkable
class Parameters(Protocol):
    """Tensors that are trained, and the interventions that they mean."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """By name; leaves that need gradients. They are changed in place."""
        ...

    def interventions(self, tensors: Mapping[str, Tensor]) -> Interventions:
        """The interventions that values of `tensors` mean; gradients flow through."""
        ...

    def project(self) -> None:
        """Put `tensors` back into their bounds, after a step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Losses on the validation part, with everything that is trained on."""

    step: int
    harm: float
    preserve: float
    """KL on benign samples, nats a token."""
    margin: float
    """Mean lead of neutral over harmful replies where they part, nats."""
    total: float
    neutral_preserve: float = 0.0
    """KL on neutral replies, nats a token; 0 where it has no weight."""
    generated_harm: float | None = None
    """Mean H of generated text, where the training is judged by it."""

    @property
    def rank(self) -> tuple[float, float]:
        """Lower is better: H of generated text where there is one, then the total loss."""
        return (0.0 if self.generated_harm is None else self.generated_harm, self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The best interventions by validation, and how training went."""

    interventions: Interventions
    best: Evaluation
    history: tuple[Evaluation, ...]
    reused_prompts: bool = True
    """Whether steps ran replies alone, from kept states of their prompts."""
