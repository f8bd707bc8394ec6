"""From a request's wishes to one bundle's strength: gate, then floor and ceiling, then the dose cap.

The reason of a strength names the last step that changed it. Everything fails closed: where the gate would decide and
there is no harm potential, a bundle runs at full strength or the request is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from breakers.plan import AppliedStrength, Plan, Reason
from server.errors import ClassifierRequiredError, PermissionDeniedError
from server.policy.bundles import PlannedBundle
from server.policy.overrides import Override, check_toggle_of_disabled, fixed_strength, may_override, override_of
from server.policy.profiles import Profile
from server.policy.rollout import in_share
from server.policy.rules import BundleRules
from server.policy.settings import Mode, OnClassifierFailure, OnDoseCap
from server.policy.wishes import Wishes

Potentials: TypeAlias = Mapping[str, float] | None
"""Calibrated harm potential by category, each in [0, 1]; None where the classifier failed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What a bundle in shadow would have done: refuse the request."""

    code: str


Shadowed: TypeAlias = AppliedStrength | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What policy makes of one request."""

    plan: Plan
    """Every loaded bundle named."""
    shadow: Mapping[str, Shadowed] = field(default_factory=dict)
    """What bundles in shadow would have done."""
    overrides: tuple[Override, ...] = ()
    """Floors that the request goes below, as it may."""


def is_enforced(rules: BundleRules, wishes: Wishes) -> bool:
    """Whether decisions about a bundle reach the model."""
    return rules.mode is Mode.ENFORCE and in_share(rules.rollout, wishes)


def decide_shadowed(bundle: PlannedBundle, rules: BundleRules, wishes: Wishes, potentials: Potentials) -> Shadowed:
    """What `decide_enforced` would say or refuse, for the report."""
    override = override_of(bundle, rules, wishes)
    if override is not None and not may_override(rules, wishes):
        return Refused("override_forbidden")
    try:
        return decide_enforced(bundle, rules, wishes, potentials)
    except (PermissionDeniedError, ClassifierRequiredError) as refusal:
        return Refused(refusal.code or "refused")


def decide_enforced(
    bundle: PlannedBundle, rules: BundleRules, wishes: Wishes, potentials: Potentials
) -> AppliedStrength:
    """The strength that reaches the model. Overrides have been checked; see `granted_overrides`.

    Raises:
        PermissionDeniedError: the bundle is off by policy and asked for, or above a dose cap that refuses.
        ClassifierRequiredError: there is no harm potential, and policy serves nothing without one.
    """
    check_toggle_of_disabled(bundle, rules, wishes)
    if not rules.enabled:
        return _applied(0.0, Reason.OFF)
    fixed = fixed_strength(bundle, wishes)
    asked = _asked(bundle, rules, wishes, potentials) if fixed is None else fixed
    override = override_of(bundle, rules, wishes)
    floor = 0.0 if override is not None and may_override(rules, wishes) else rules.floor
    return _within_dose(bundle, rules, _within_range(rules, asked, floor))


def _asked(bundle: PlannedBundle, rules: BundleRules, wishes: Wishes, potentials: Potentials) -> AppliedStrength:
    """What holds where the request fixes no strength."""
    if wishes.toggles.get(bundle.name) is True:
        return _by_gate(bundle, rules, potentials, without_gate=_applied(bundle.full_strength, Reason.REQUEST))
    if wishes.profile is Profile.DEFAULT and not bundle.enabled:
        return _applied(0.0, Reason.OFF)
    if wishes.profile is Profile.STRICT and bundle.gate is not None:
        return _applied(bundle.full_strength, Reason.PROFILE)
    return _by_gate(bundle, rules, potentials, without_gate=_applied(0.0, Reason.OFF))


def _by_gate(
    bundle: PlannedBundle, rules: BundleRules, potentials: Potentials, *, without_gate: AppliedStrength
) -> AppliedStrength:
    if bundle.gate is None:
        return without_gate
    potential = None if potentials is None else potentials.get(bundle.category)
    if potential is not None:
        return _applied(bundle.gate.strength(potential), Reason.GATE)
    if rules.classifier_failure is OnClassifierFailure.REFUSE:
        raise ClassifierRequiredError(
            f"the harm potential of {bundle.category} could not be read, and policy serves nothing without it; "
            "try again later"
        )
    return _applied(bundle.full_strength, Reason.CLASSIFIER_FAILED)


def _within_range(rules: BundleRules, asked: AppliedStrength, floor: float) -> AppliedStrength:
    if asked.strength > rules.ceiling:
        return _applied(rules.ceiling, Reason.CEILING)
    return _applied(floor, Reason.FLOOR) if asked.strength < floor else asked


def _within_dose(bundle: PlannedBundle, rules: BundleRules, decided: AppliedStrength) -> AppliedStrength:
    if rules.dose_limit is None or decided.strength <= rules.dose_limit:
        return decided
    if rules.on_dose_cap is OnDoseCap.REFUSE:
        raise PermissionDeniedError(
            f"breaker {bundle.name!r} would run at {decided.strength:g}; the policy's dose cap allows "
            f"{rules.dose_limit:g} at most and refuses what exceeds it",
            param=f"scalpel.breakers.{bundle.name}",
            code="dose_cap",
        )
    return _applied(rules.dose_limit, Reason.DOSE_CAP)


def _applied(strength: float, reason: Reason) -> AppliedStrength:
    return AppliedStrength(strength=strength, reason=reason)
