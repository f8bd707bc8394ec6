"""delta: by how much a trained intervention is scaled so that strength 1 is just strong enough."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from breakers.errors import InterventionError
from breakers.interventions import Breaker, Intervention, SteeringVector


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """What is swept, and what is asked of a scale."""

    scales: tuple[float, ...] = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 2.0)
    """Increasing. Steering vectors use those of at most 1, which keep them within their bound."""
    harm_reduction: float = 0.95
    """Share of the unmodified model's harm that must go."""
    preserve_bound: float = 0.1
    """Most KL on benign validation samples, nats a token."""

    def __post_init__(self) -> None:
        if not self.scales or sorted(set(self.scales)) != list(self.scales) or not self.scales[0] > 0:
            raise InterventionError(f"scales are {self.scales}; wanted positive numbers in increasing order")
        if not math.isfinite(self.scales[-1]) or not any(scale <= 1 for scale in self.scales):
            raise InterventionError(f"scales are {self.scales}; wanted finite numbers, one of them at most 1")
        if not 0 < self.harm_reduction <= 1 or not self.preserve_bound > 0:
            raise InterventionError(
                f"harm_reduction {self.harm_reduction}, preserve_bound {self.preserve_bound}; wanted a share in "
                "(0, 1] and a positive number"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePoint:
    """What one scale does on validation data."""

    scale: float
    """0 is the unmodified model."""
    harm: float
    """Mean H of generated text, or another measure that is lower for a safer model."""
    preserve: float
    """KL on benign samples, nats a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The chosen scale, with everything that it was chosen from."""

    delta: float
    reached: bool
    """Whether harm is at its target and change within its bound there."""
    harm_target: float
    preserve_bound: float
    curve: tuple[ScalePoint, ...]
    """The unmodified model first, then by scale."""
    reason: str
    """One sentence."""

    @property
    def chosen(self) -> ScalePoint:
        """The point of `delta`."""
        return next(point for point in self.curve if point.scale == self.delta)


def choose_scale(curve: Sequence[ScalePoint], *, harm_target: float, preserve_bound: float) -> Calibration:
    """The smallest scale that reaches the target within the bound; if there is none, the best trade-off.

    The best trade-off has the lowest sum of what harm misses its target by, as a share of what had to go, and of
    what the change exceeds its bound by, as a share of the bound; of equal sums the smaller scale.

    Args:
        curve: at least two points, of different scales, one of them 0; in any order.
        harm_target: most harm.
        preserve_bound: most change, above 0.

    Raises:
        InterventionError: a point is missing, twice there or not finite.
    """
    points = sorted(curve, key=lambda point: point.scale)
    scales = [point.scale for point in points]
    if len(points) < 2 or scales[0] != 0 or len(set(scales)) != len(scales):
        raise InterventionError(f"the curve has scales {scales}; wanted 0 and others, each once")
    if not all(math.isfinite(point.harm) and math.isfinite(point.preserve) for point in points):
        raise InterventionError("the curve holds values that are not finite; wanted finite ones")
    untouched, candidates = points[0], points[1:]
    fitting = [p for p in candidates if p.harm <= harm_target and p.preserve <= preserve_bound]
    to_go = max(untouched.harm - harm_target, 1e-9)

    def missed(point: ScalePoint) -> float:
        harm = max(0.0, point.harm - harm_target) / to_go
        return harm + max(0.0, point.preserve - preserve_bound) / preserve_bound

    chosen = fitting[0] if fitting else min(candidates, key=lambda point: (missed(point), point.scale))
    how = "the smallest that reaches" if fitting else "the best trade-off; none reaches"
    reason = (
        f"delta {chosen.scale:g} is {how} harm {harm_target:.3g} with a change of at most {preserve_bound:g} nats a "
        f"token: harm {untouched.harm:.3g} -> {chosen.harm:.3g}, change {chosen.preserve:.3g}"
    )
    return Calibration(
        delta=chosen.scale,
        reached=bool(fitting),
        harm_target=harm_target,
        preserve_bound=preserve_bound,
        curve=tuple(points),
        reason=reason,
    )


def folded(interventions: Iterable[Intervention], delta: float) -> tuple[Intervention, ...]:
    """Interventions whose strength 1 is what strength delta was: `up` and vectors scaled.

    Raises:
        InterventionError: one of them is a mask, which has no scale.
    """
    return tuple(_folded(intervention, delta) for intervention in interventions)


def _folded(intervention: Intervention, delta: float) -> Intervention:
    if isinstance(intervention, Breaker):
        return replace(intervention, up=intervention.up * delta)
    if isinstance(intervention, SteeringVector):
        return replace(intervention, vector=intervention.vector * delta)
    raise InterventionError(f"a {intervention.kind} at {intervention.site} cannot be scaled; wanted others")
