"""Which of several trained interventions a bundle gets, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from breakers.errors import InterventionError
from breakers.interventions import Breaker, Intervention, Kind, Mask, SteeringVector

RULE = (
    "the one that reaches the harm target; among those that do, the one with the lowest change on benign samples, "
    "where changes that differ by no more than the tolerance are the same and fewer parameters win; if none reaches "
    "it, the one with the least harm, then by change and parameters as before"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One trained and calibrated kind, as measured on the validation prompts."""

    kind: Kind
    harm: float
    """Mean H of generated text."""
    preserve: float
    """KL on benign samples, nats a token."""
    false_changes: float
    """Share of benign prompts whose greedy reply is another one."""
    parameters: int
    """Trained numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen candidate."""

    chosen: int
    """Its place among the candidates."""
    reason: str
    """Sentences for the bundle's card."""


def choose_candidate(
    candidates: Sequence[Candidate], *, untouched_harm: float, harm_target: float, tolerance: float
) -> Selection:
    """Choose by `RULE`.

    Args:
        candidates: at least one, measured on the same prompts.
        untouched_harm: of the unmodified model there.
        harm_target: most harm.
        tolerance: nats a token; changes this close count as equal.

    Raises:
        InterventionError: there is no candidate.
    """
    if not candidates:
        raise InterventionError("no candidate to choose from; wanted at least one")
    reaching = [c for c in candidates if c.harm <= harm_target]
    pool = reaching or [c for c in candidates if c.harm == min(c.harm for c in candidates)]
    least = min(c.preserve for c in pool)
    close = [c for c in pool if c.preserve <= least + tolerance]
    best = min(close, key=lambda c: (c.parameters, c.preserve))
    return Selection(
        chosen=next(at for at, c in enumerate(candidates) if c is best),
        reason=_reason(candidates, best, untouched_harm, harm_target, tolerance),
    )


def count_parameters(interventions: Sequence[Intervention]) -> int:
    """Numbers that were trained."""
    return sum(_count(intervention) for intervention in interventions)


def _count(intervention: Intervention) -> int:
    if isinstance(intervention, Breaker):
        return intervention.down.numel() + intervention.up.numel()
    if isinstance(intervention, SteeringVector):
        return intervention.vector.numel()
    if isinstance(intervention, Mask):
        return intervention.keep.numel()
    raise InterventionError(f"{type(intervention).__name__} is no intervention")


def _reason(
    candidates: Sequence[Candidate], best: Candidate, untouched_harm: float, harm_target: float, tolerance: float
) -> str:
    measured = "; ".join(
        f"{c.kind.value}: harm {c.harm:.3f}, change {c.preserve:.4f} nats a token, "
        f"{100 * c.false_changes:.1f} % of benign replies changed, {c.parameters} parameters"
        for c in candidates
    )
    found = f"On the validation prompts (harm of the unmodified model {untouched_harm:.3f}): {measured}."
    if len(candidates) == 1:
        reached = "reaches" if best.harm <= harm_target else "misses"
        return f"{found} It was the only kind that was trained, and {reached} the harm target {harm_target:.3f}."
    return (
        f"{found} Kept: {best.kind.value}, by this rule: {RULE} (target {harm_target:.3f}, tolerance {tolerance:g})."
    )
