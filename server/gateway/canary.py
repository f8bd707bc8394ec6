"""Whether log-probabilities over HTTP change as a bundle declares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from server.engines.checks import CheckResult, Verdict

COSINE = 0.95
"""Least cosine between the declared and the found change, each less its mean: log-probabilities are known up to a
constant. vLLM's start asks for more in float32; over HTTP nobody says which type the model has."""

SIZE = 0.25
"""Most that the ratio of their norms may be off 1."""

_NOTHING = 1e-9


def check_canary(name: str, found: Sequence[float], declared: Sequence[float], *, accepted: bool) -> CheckResult:
    """What comes of a bundle's canary.

    Args:
        name: of the check.
        found: changes of log-probabilities from strength 0 to 1.
        declared: changes of logits, in the same order.
        accepted: whether any change will do.
    """
    changes, wanted = _centred(found), _centred(declared)
    size = math.hypot(*changes)
    if accepted:
        verdict = Verdict.ACCEPTED if size > _NOTHING else Verdict.FAILED
        return CheckResult(name=name, verdict=verdict, detail=f"changes by {size:.4g}; any change is accepted")
    ratio = size / max(math.hypot(*wanted), _NOTHING)
    along = sum(a * b for a, b in zip(changes, wanted, strict=True))
    cosine = along / max(size * math.hypot(*wanted), _NOTHING)
    good = cosine >= COSINE and abs(ratio - 1) <= SIZE
    return CheckResult(
        name=name,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
        detail=f"the change has a cosine of {cosine:.4f} with the declared one (wanted {COSINE:g} or more) and "
        f"{ratio:.4f} times its size (wanted 1 within {SIZE:g})",
        measured=cosine,
        limit=COSINE,
    )


def _centred(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [value - mean for value in values]
