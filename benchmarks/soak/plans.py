"""Whether a reported plan can be right: what a request says of its breakers, worked out again from the rules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.soak.traffic import Answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is known of one bundle."""

    gated: bool
    full: float
    """Full strength."""
    ceilings: Sequence[float]
    """Those of all policies that were in force at some time."""

    def capped(self, strength: float) -> set[float]:
        """What a strength becomes under these policies."""
        return {min(strength, ceiling) for ceiling in self.ceilings}


def is_possible(answered: Answered, rules: Mapping[str, Rule]) -> bool:
    """Whether the reported strengths follow from the request under some policy, and the digest from them."""
    reported = answered.applied
    missing = [name for name in rules if name not in reported]
    right = all(reported[name] in _possible(answered, name, rule) for name, rule in rules.items() if name in reported)
    others = all(strength == 0 for name, strength in reported.items() if name not in rules)
    return not missing and right and others and answered.plan == digest(reported)


def digest(strengths: Mapping[str, float]) -> str:
    """The digest of a plan, as the manual describes it."""
    text = ";".join(f"{name}={strength:.4f}" for name, strength in sorted(strengths.items()) if strength > 0)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _possible(answered: Answered, name: str, rule: Rule) -> set[float]:
    asked = answered.asked
    if name in asked.fixed:
        return rule.capped(asked.fixed[name])
    profile = asked.body["model"].partition("@")[2]
    toggled = name in asked.body["scalpel"]["breakers"]
    if not rule.gated:
        return rule.capped(rule.full) if toggled else {0.0}
    if profile == "off" and not toggled:
        return {0.0}
    if profile == "strict" and not toggled:
        return rule.capped(rule.full)
    steps = round(rule.full * 16)
    return {capped for n in range(steps + 1) for capped in rule.capped(n / 16)}
