"""Response headers that say what the report says, for clients that drop unknown body fields.

Each is a list like `toxicity=0.9312, gender_bias=0.0121` or `toxicity=0.875;reason=gate`: names and numbers as in the
report, written as dictionaries of RFC 9651 are (whose numbers would have one digit less). `x-scalpel-applied` names
the bundles that act, so it is empty where none does. For several prompts both give the highest value of all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.generation.report import AppliedReport, Report

HARM_POTENTIAL = "x-scalpel-harm-potential"
APPLIED = "x-scalpel-applied"

_NOT_IN_A_KEY = re.compile(r"[^a-z0-9_.*-]")


def answer_headers(reports: Sequence[Report]) -> dict[str, str]:
    """Headers of an answer, whole or streamed.

    Args:
        reports: one for each prompt.
    """
    potentials: dict[str, float] = {}
    applied: dict[str, AppliedReport] = {}
    for report in reports:
        for name, potential in report.harm_potential.items():
            potentials[name] = max(potential, potentials.get(name, 0.0))
        for name, entry in report.applied.items():
            if entry.strength > (applied[name].strength if name in applied else 0.0):
                applied[name] = entry
    return {
        HARM_POTENTIAL: ", ".join(f"{_key(name)}={potential}" for name, potential in potentials.items()),
        APPLIED: ", ".join(f"{_key(name)}={e.strength};reason={e.reason}" for name, e in applied.items()),
    }


def _key(name: str) -> str:
    return _NOT_IN_A_KEY.sub("_", name.lower())
