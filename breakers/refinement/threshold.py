"""tau: the measure that a set must bring the model below, given absolutely or in terms of what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from breakers.errors import TracingError


class TauKind(StrEnum):
    """What tau is given as."""

    ABSOLUTE = "absolute"
    """In units of the measure."""
    SHARE_OF_CLEAN = "share_of_clean"
    """tau = share * m(unmodified model); for measures that are positive there."""
    SHARE_OF_EFFECT = "share_of_effect"
    """tau = m(unmodified) - share * (m(unmodified) - m(everything patched)): the faithfulness that is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """How tau is given."""

    kind: TauKind
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise TracingError(f"tau is {self.value}; wanted a finite number")
        if self.kind is not TauKind.ABSOLUTE and not 0 < self.value < 1:
            raise TracingError(f"tau is {self.value} as a {self.kind}; wanted a number between 0 and 1")

    def resolve(self, clean: float, everything: float) -> float:
        """tau in units of the measure.

        Args:
            clean: mean measure of the unmodified model.
            everything: mean measure with all components patched.

        Raises:
            TracingError: a share of something that is not positive.
        """
        if self.kind is TauKind.ABSOLUTE:
            return self.value
        if self.kind is TauKind.SHARE_OF_CLEAN:
            if clean <= 0:
                raise TracingError(
                    f"the unmodified model measures {clean:.4g}: no share of that is a threshold; "
                    "give tau absolutely or as a share of the effect"
                )
            return self.value * clean
        if everything >= clean:
            raise TracingError(
                f"patching everything takes the measure from {clean:.4g} to {everything:.4g}: "
                "there is no effect to take a share of; give tau absolutely"
            )
        return clean - self.value * (clean - everything)


def chosen_threshold(kind: str, value: float) -> Threshold:
    """A threshold from its kind's name.

    Raises:
        TracingError: no kind has this name, or the value is none of that kind.
    """
    if kind not in list(TauKind):
        raise TracingError(f"tau kind is {kind!r}; wanted one of {', '.join(TauKind)}")
    return Threshold(kind=TauKind(kind), value=value)
