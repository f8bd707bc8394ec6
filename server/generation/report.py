"""The report: what a response says about the breakers, in DESIGN's shape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedReport:
    """What one bundle did."""

    strength: float
    """0 where it did nothing."""
    kind: str
    """`breaker`, `steering`, `mask` or `mixed`."""
    reason: str
    """Who decided the strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was read in the input and applied in the model."""

    harm_potential: dict[str, float]
    """By category, to four digits; empty where there is no classifier or it failed."""
    applied: dict[str, AppliedReport]
    """Every loaded bundle, also those with strength 0."""
    plan: str
    """Digest of the non-zero strengths."""
    tokens_steered: int
    """Tokens of prompt and reply, so far, on which any intervention acted."""
