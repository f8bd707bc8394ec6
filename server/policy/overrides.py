"""What a request fixes itself, and whether it may: going below a floor takes a scope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from breakers.plan import AppliedStrength, Reason, round_up_strength
from server.access.caller import AccessScope
from server.errors import PermissionDeniedError
from server.policy.bundles import PlannedBundle
from server.policy.profiles import Profile
from server.policy.rules import BundleRules
from server.policy.settings import MayOverride
from server.policy.wishes import Wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A request that fixes a strength below a floor."""

    bundle: str
    asked: float
    floor: float
    reason: Reason
    """`request` or `profile`."""


class OverrideForbiddenError(PermissionDeniedError):
    """A request goes below floors without being allowed to."""

    def __init__(self, overrides: Sequence[Override]) -> None:
        first = overrides[0]
        super().__init__(
            f"breaker {first.bundle!r} may not run below {first.floor:g} here, and the {first.reason.value} asks for "
            f"{first.asked:g}; that takes an API key with the scope {AccessScope.OVERRIDE.value!r} where the policy "
            "lets it",
            param=f"scalpel.breakers.{first.bundle}" if first.reason is Reason.REQUEST else "scalpel.profile",
            code="override_forbidden",
        )
        self.overrides = tuple(overrides)
        """All that were refused, at least one."""


def fixed_strength(bundle: PlannedBundle, wishes: Wishes) -> AppliedStrength | None:
    """The strength that a request fixes whatever the gate would say; None where it leaves that open."""
    toggle = wishes.toggles.get(bundle.name)
    if toggle is None:
        off = wishes.profile is Profile.OFF
        return AppliedStrength(strength=0.0, reason=Reason.PROFILE) if off else None
    if toggle is True:
        return None
    return AppliedStrength(strength=round_up_strength(float(toggle)), reason=Reason.REQUEST)


def override_of(bundle: PlannedBundle, rules: BundleRules, wishes: Wishes) -> Override | None:
    """What a request fixes below the floor, whether it may or not."""
    fixed = fixed_strength(bundle, wishes)
    if not rules.enabled or fixed is None or fixed.strength >= rules.floor:
        return None
    return Override(bundle=bundle.name, asked=fixed.strength, floor=rules.floor, reason=fixed.reason)


def may_override(rules: BundleRules, wishes: Wishes) -> bool:
    """Whether this caller may go below this floor."""
    return rules.override is MayOverride.SCOPE and AccessScope.OVERRIDE in wishes.caller.scopes


def check_toggle_of_disabled(bundle: PlannedBundle, rules: BundleRules, wishes: Wishes) -> None:
    """Refuse to switch on what policy has switched off; to run without it in silence would be to lie.

    Raises:
        PermissionDeniedError: the request asks for more than 0.
    """
    toggle = wishes.toggles.get(bundle.name)
    if not rules.enabled and toggle:
        raise PermissionDeniedError(
            f"breaker {bundle.name!r} is off by policy; wanted false or 0, or leave it out",
            param=f"scalpel.breakers.{bundle.name}",
            code="breaker_off",
        )


def granted_overrides(
    bundles: Mapping[str, PlannedBundle], rules: Mapping[str, BundleRules], wishes: Wishes, enforced: frozenset[str]
) -> tuple[Override, ...]:
    """Every override that a request makes, all of them allowed.

    Args:
        bundles: the loaded ones.
        rules: for this caller, by bundle.
        wishes: of the request.
        enforced: bundles that do not run in shadow; where nothing is applied, nothing is overridden.

    Raises:
        OverrideForbiddenError: naming every one that is not allowed.
    """
    found = {name: override_of(bundle, rules[name], wishes) for name, bundle in bundles.items() if name in enforced}
    made = [override for override in found.values() if override is not None]
    refused = [override for override in made if not may_override(rules[override.bundle], wishes)]
    if refused:
        raise OverrideForbiddenError(refused)
    return tuple(made)
