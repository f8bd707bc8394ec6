"""The resolved strengths of one request, one per bundle, and what identifies them.

Strengths are rounded *up* to 1/16: rounding never weakens an intervention, equal plans share cache entries, and
labels stay few.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from breakers.errors import PlanError

STRENGTH_STEPS = 16
"""Strengths are multiples of one over this."""

# Slack against float noise, so that 0.5 computed as 0.5000000001 stays 0.5.
_ROUNDING_SLACK = 1e-8


class Reason(StrEnum):
    """Why a strength is what it is."""

    GATE = "gate"
    REQUEST = "request"
    PROFILE = "profile"
    FLOOR = "floor"
    CEILING = "ceiling"
    DOSE_CAP = "dose_cap"
    CLASSIFIER_FAILED = "classifier_failed"
    PROBE = "probe"
    SHADOW = "shadow"
    OFF = "off"


def round_up_strength(strength: float) -> float:
    """The smallest multiple of 1/16 that is not below `strength`.

    Raises:
        PlanError: the strength is negative, infinite or not a number.
    """
    if not math.isfinite(strength) or strength < 0:
        raise PlanError(f"strength is {strength}; wanted a finite number of at least 0")
    return math.ceil(strength * STRENGTH_STEPS - _ROUNDING_SLACK) / STRENGTH_STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedStrength:
    """What one bundle does in one request."""

    strength: float
    """A multiple of 1/16, 0 for off."""
    reason: Reason

    def __post_init__(self) -> None:
        if round_up_strength(self.strength) != self.strength:
            raise PlanError(f"strength is {self.strength}; wanted a multiple of 1/{STRENGTH_STEPS}")


@dataclass(frozen=True, slots=True)
class Plan:
    """One strength per loaded bundle; bundles that are not named have strength 0."""

    entries: Mapping[str, AppliedStrength] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Twelve hex digits over the non-zero strengths: equal digests mean equal edits."""
        text = ";".join(f"{name}={s:.4f}" for name, s in sorted(self.strengths().items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def strengths(self) -> dict[str, float]:
        """The non-zero strengths by bundle name."""
        return {name: entry.strength for name, entry in self.entries.items() if entry.strength > 0}
