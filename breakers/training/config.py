"""How a training goes, whatever is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from breakers.errors import InterventionError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What breakers and steering vectors share; each has a configuration of its own."""

    steps: int = 300
    batch_pairs: int = 16
    batch_benign: int = 16
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    """AdamW's; towards the unmodified model."""
    harm_coef: float = 1.0
    """lambda_1."""
    preserve_coef: float = 4.0
    """lambda_2."""
    neutral_coef: float = 0.0
    """Weight in L_preserve of KL on the neutral replies, beside that on benign ones."""
    likely: float = 0.5
    """That KL counts the tokens to which the untouched model gives at least this probability, in [0, 1]."""
    margin: float = 2.0
    """Nats by which neutral replies should lead harmful ones at the token where they part."""
    evaluate_every: int = 25
    """Steps; a checkpoint is written as often."""
    patience: int = 6
    """Evaluations without improvement before stopping."""
    validation_share: float = 0.15
    """Held out where no validation data is given."""
    validation_limit: int = 128
    """Most pairs of a task, and most benign samples, held out for validation."""
    kept_bytes: int = 2**30
    """Memory for what the untouched model computes once: see `breakers.training.kept`."""
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("steps", "batch_pairs", "batch_benign", "evaluate_every", "patience", "validation_limit")
        for name in positive:
            if getattr(self, name) < 1:
                raise InterventionError(f"{name} is {getattr(self, name)}; wanted at least 1")
        for name in ("weight_decay", "harm_coef", "preserve_coef", "neutral_coef", "kept_bytes"):
            if not getattr(self, name) >= 0:
                raise InterventionError(f"{name} is {getattr(self, name)}; wanted at least 0")
        if not self.learning_rate > 0:
            raise InterventionError(f"learning_rate is {self.learning_rate}; wanted a positive number")
        if not 0 <= self.likely <= 1:
            raise InterventionError(f"likely is {self.likely}; wanted a probability in [0, 1]")
        if not 0 < self.validation_share < 1:
            raise InterventionError(f"validation_share is {self.validation_share}; wanted a number in (0, 1)")


def one_cycle(step: int, steps: int) -> tuple[float, float]:
    """The one-cycle schedule: (share of the highest learning rate, AdamW's first beta) of a step.

    Up over a tenth of the steps, then down; cosines. A function of the step alone, so that nothing of it has to be
    saved. The numbers are those of `torch.optim.lr_scheduler.OneCycleLR` with `pct_start=0.1`.

    Args:
        step: from 0.
        steps: of the whole training.
    """
    top = 0.1 * steps - 1
    if step <= top:
        done = step / top if top > 0 else 1.0
        return _cosine(1 / 25, 1.0, done), _cosine(0.95, 0.85, done)
    done = (step - top) / (steps - 1 - top)
    return _cosine(1.0, 1 / 25e4, done), _cosine(0.85, 0.95, done)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * done) + 1)
