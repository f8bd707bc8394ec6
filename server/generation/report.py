"""The report: what a response says about the breakers, in DESIGN's shape."""

from __future__ import annotations

from dataclasses import dataclass

from breakers.plan import Reason
from server.policy.decisions import Refused, Shadowed


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
class ShadowStrength:
    """What a bundle in shadow would have run at."""

    strength: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRefusal:
    """That a bundle in shadow would have had the request refused."""

    refused: str
    """The error's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport(AppliedReport):
    """What a bundle in shadow did, which is nothing, and what it would have done."""

    would_apply: ShadowStrength | ShadowRefusal

    @classmethod
    def of(cls, kind: str, would: Shadowed) -> ShadowReport:
        """From what was decided."""
        shown: ShadowStrength | ShadowRefusal
        if isinstance(would, Refused):
            shown = ShadowRefusal(refused=would.code)
        else:
            shown = ShadowStrength(strength=would.strength, reason=would.reason.value)
        return cls(strength=0.0, kind=kind, reason=Reason.SHADOW.value, would_apply=shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was read in the input and applied in the model."""

    harm_potential: dict[str, float]
    """By category, to four digits; empty where there is no classifier or it failed."""
    applied: dict[str, AppliedReport | ShadowReport]
    """Every loaded bundle, also those with strength 0."""
    plan: str
    """Digest of the non-zero strengths."""
    tokens_steered: int
    """Tokens of prompt and reply, so far, on which any intervention acted."""
