"""What an engine proves of itself before it serves: its checks by name, and the canaries that bundles bring.

strength_0      a bank at strength 0 is bit for bit the model without it
canary:BUNDLE   the bundle changes the logits as its manifest says
batch           a request alone equals itself in a mixed batch
prefix          what a request leaves in the prefix cache never reaches one with another plan
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

STRENGTH_0 = "strength_0"
BATCH = "batch"
PREFIX = "prefix"
CANARY = "canary:"
"""Before the bundle's name."""


class Verdict(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    ACCEPTED = "accepted"
    """It did not pass, and its operator said beforehand, by name, that this is meant."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of the self-test."""

    name: str
    verdict: Verdict
    detail: str
    """One sentence for a person: what was found, and what was wanted."""
    measured: float | None = None
    """None where it could not be measured."""
    limit: float | None = None
    """Of `measured`: the most for a difference, the least for a cosine."""

    @property
    def ok(self) -> bool:
        """Whether requests may be served as far as this check goes."""
        return self.verdict is not Verdict.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A prompt and what a bundle at strength 1 does to its next-token logits."""

    bundle: str
    token_ids: tuple[int, ...]
    logit_ids: tuple[int, ...]
    change: tuple[float, ...]
    """Steered minus unsteered logit at each of `logit_ids`."""
    accepted: bool = False
    """Whether the bundle may change the logits otherwise than declared: it was accepted by name, on another model
    than it was made on. It still has to change them."""

    @property
    def check(self) -> str:
        """The check's name."""
        return f"{CANARY}{self.bundle}"


def failing(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """The checks that keep a server from serving."""
    return tuple(result for result in results if not result.ok)
