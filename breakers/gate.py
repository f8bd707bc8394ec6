"""The gate: from harm potential to strength, as a pure function. Fitting it is `classifiers.gate_fit`'s work."""

from __future__ import annotations

import math
from dataclasses import dataclass

from breakers.errors import PlanError
from breakers.plan import round_up_strength


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """alpha(x) = alpha_base * sigmoid(w P(x) + b), and 0 below p_off; rounded up to 1/16."""

    alpha_base: float = 1.0
    """Full strength; at least 0."""
    w: float = 12.0
    """Slope, in [0, 100]: more harm potential never means less strength."""
    b: float = -4.0
    p_off: float = 0.1
    """Harm potential below which the strength is exactly 0 (a sigmoid never gets there), in [0, 1]."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("alpha_base", 0.0, 16.0),
            ("w", 0.0, 100.0),
            ("b", -100.0, 100.0),
            ("p_off", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise PlanError(f"gate {name} is {value}; wanted a number in [{low}, {high}]")

    def strength(self, harm_potential: float) -> float:
        """The strength for one harm potential in [0, 1].

        Raises:
            PlanError: the harm potential is not a number in [0, 1].
        """
        if not (math.isfinite(harm_potential) and 0.0 <= harm_potential <= 1.0):
            raise PlanError(f"harm potential is {harm_potential}; wanted a number in [0, 1]")
        if harm_potential < self.p_off:
            return 0.0
        return round_up_strength(self.alpha_base / (1.0 + math.exp(-(self.w * harm_potential + self.b))))

    @property
    def full_strength(self) -> float:
        """What a failing classifier means: alpha_base, rounded up."""
        return round_up_strength(self.alpha_base)
