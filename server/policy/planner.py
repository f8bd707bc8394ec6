"""The planner: toggles, profile and harm potentials -> one strength per loaded bundle, as a pure function.

It fails closed: where the gate would decide and the classifier failed, a bundle runs at full strength.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from breakers.gate import Gate
from breakers.plan import STRENGTH_STEPS, AppliedStrength, Plan, Reason, round_up_strength
from server.errors import ConfigError, InvalidRequestError
from server.policy.profiles import Profile

Toggle: TypeAlias = bool | float
"""What a request says about one bundle: False is 0, True lets the gate decide, a number fixes the strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBundle:
    """One loaded bundle as the planner sees it."""

    name: str
    kind: str
    """`breaker`, `steering`, `mask` or `mixed`."""
    behaviour: str
    """What it edits away, as harm scorers call it."""
    category: str
    """The harm potential that its gate reads."""
    gate: Gate | None
    strength_max: float
    enabled: bool = True
    """Whether it acts in requests that do not ask for it."""

    def __post_init__(self) -> None:
        if self.highest <= 0:
            raise ConfigError(f"bundle {self.name!r} has strength_max {self.strength_max}; wanted at least 1/16")
        if self.gate is not None and self.gate.full_strength > self.highest:
            raise ConfigError(
                f"bundle {self.name!r} has a gate that reaches {self.gate.full_strength}, "
                f"above its strength_max {self.strength_max}"
            )

    @property
    def highest(self) -> float:
        """The highest multiple of 1/16 that `strength_max` allows."""
        return math.floor(self.strength_max * STRENGTH_STEPS) / STRENGTH_STEPS

    @property
    def full_strength(self) -> float:
        """What `strict`, a failing classifier and, without a gate, the toggle `true` mean."""
        return self.gate.full_strength if self.gate is not None else min(1.0, self.highest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a request asks of the breakers."""

    profile: Profile = Profile.DEFAULT
    toggles: Mapping[str, Toggle] = field(default_factory=dict)
    """By bundle name; a toggle beats the profile."""


class Planner:
    """Plans for one set of loaded bundles. Immutable: loading another set makes another planner."""

    def __init__(self, bundles: Iterable[PlannedBundle]) -> None:
        self.bundles: dict[str, PlannedBundle] = {bundle.name: bundle for bundle in bundles}

    @property
    def gated_categories(self) -> frozenset[str]:
        """The categories that gates read; a classifier has to have them all."""
        return frozenset(b.category for b in self.bundles.values() if b.gate is not None)

    def check(self, toggles: Mapping[str, Toggle]) -> None:
        """Refuse toggles that cannot be planned, before any work is done for the request.

        Raises:
            InvalidRequestError: a bundle is not loaded, or a strength is out of its range.
        """
        for name, toggle in toggles.items():
            bundle = self.bundles.get(name)
            if bundle is None:
                loaded = ", ".join(sorted(self.bundles)) or "none"
                raise InvalidRequestError(
                    f"no breaker {name[:64]!r} is loaded; loaded: {loaded}",
                    param="scalpel.breakers",
                    code="unknown_breaker",
                )
            if not isinstance(toggle, bool) and not 0 <= toggle <= bundle.highest:
                raise InvalidRequestError(
                    f"strength of breaker {name!r} is {toggle}; wanted false (off), true (the gate decides) "
                    f"or a number in [0, {bundle.highest:g}]",
                    param=f"scalpel.breakers.{name}",
                    code="invalid_strength",
                )

    def plan(self, wishes: Wishes, potentials: Mapping[str, float] | None) -> Plan:
        """The strengths of one request, every loaded bundle named.

        Args:
            wishes: checked by `check`.
            potentials: calibrated harm potential by category, each in [0, 1]; None where the classifier failed.
        """
        return Plan({name: _settle(bundle, wishes, potentials) for name, bundle in self.bundles.items()})


def _settle(bundle: PlannedBundle, wishes: Wishes, potentials: Mapping[str, float] | None) -> AppliedStrength:
    toggle = wishes.toggles.get(bundle.name)
    if toggle is None:
        return _by_profile(bundle, wishes.profile, potentials)
    if toggle is True:
        return _by_gate(bundle, potentials, without_gate=_applied(bundle.full_strength, Reason.REQUEST))
    if toggle is False:
        return _applied(0.0, Reason.REQUEST)
    return _applied(round_up_strength(toggle), Reason.REQUEST)


def _by_profile(bundle: PlannedBundle, profile: Profile, potentials: Mapping[str, float] | None) -> AppliedStrength:
    if profile is Profile.OFF:
        return _applied(0.0, Reason.PROFILE)
    if profile is Profile.DEFAULT and not bundle.enabled:
        return _applied(0.0, Reason.OFF)
    if profile is Profile.STRICT and bundle.gate is not None:
        return _applied(bundle.full_strength, Reason.PROFILE)
    return _by_gate(bundle, potentials, without_gate=_applied(0.0, Reason.OFF))


def _by_gate(
    bundle: PlannedBundle, potentials: Mapping[str, float] | None, *, without_gate: AppliedStrength
) -> AppliedStrength:
    if bundle.gate is None:
        return without_gate
    potential = None if potentials is None else potentials.get(bundle.category)
    if potential is None:
        return _applied(bundle.full_strength, Reason.CLASSIFIER_FAILED)
    return _applied(bundle.gate.strength(potential), Reason.GATE)


def _applied(strength: float, reason: Reason) -> AppliedStrength:
    return AppliedStrength(strength=strength, reason=reason)
