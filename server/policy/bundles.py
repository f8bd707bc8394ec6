"""A loaded bundle as policy sees it: names, numbers and the gate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from breakers.gate import Gate
from breakers.plan import STRENGTH_STEPS
from server.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBundle:
    """One loaded bundle as the planner sees it."""

    name: str
    kind: str
    """`breaker`, `steering`, `mask` or `mixed`."""
    behaviour: str
    """What it edits away, as harm scorers call it."""
    category: str
    """The harm potential that its gate reads."""
    gate: Gate | None
    strength_max: float
    dose_p95: float | None = None
    """Relative dose at strength 1, as the bundle declares it; without it, a policy with a dose cap is refused."""
    enabled: bool = True
    """Whether it acts in requests that do not ask for it; floors hold all the same."""

    def __post_init__(self) -> None:
        if self.highest <= 0:
            raise ConfigError(f"bundle {self.name!r} has strength_max {self.strength_max}; wanted at least 1/16")
        if self.gate is not None and self.gate.full_strength > self.highest:
            raise ConfigError(
                f"bundle {self.name!r} has a gate that reaches {self.gate.full_strength}, "
                f"above its strength_max {self.strength_max}"
            )

    @property
    def highest(self) -> float:
        """The highest multiple of 1/16 that `strength_max` allows."""
        return math.floor(self.strength_max * STRENGTH_STEPS) / STRENGTH_STEPS

    @property
    def full_strength(self) -> float:
        """What `strict`, a failing classifier and, without a gate, the toggle `true` mean."""
        return self.gate.full_strength if self.gate is not None else min(1.0, self.highest)
