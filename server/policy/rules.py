"""The rules of one bundle for one kind of caller, resolved from a policy's layers and checked against the bundle.

Rounding is on the safe side of each limit: a floor goes up to 1/16, a ceiling and a dose cap go down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from breakers.plan import STRENGTH_STEPS
from server.errors import ConfigError
from server.policy.bundles import PlannedBundle
from server.policy.settings import (
    MayOverride,
    Mode,
    OnClassifierFailure,
    OnDoseCap,
    RolloutSettings,
    RuleSettings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRules:
    """What policy says about one bundle."""

    enabled: bool
    floor: float
    """A multiple of 1/16; at most the ceiling and the dose limit."""
    ceiling: float
    """A multiple of 1/16; at most the bundle's highest."""
    dose_limit: float | None
    """The highest strength within the dose cap; None without one."""
    on_dose_cap: OnDoseCap
    mode: Mode
    rollout: RolloutSettings
    classifier_failure: OnClassifierFailure
    override: MayOverride


def merge_layers(layers: Sequence[RuleSettings]) -> RuleSettings:
    """One set of rules: of each key the value in the last layer that sets it."""
    merged = {name: getattr(layer, name) for layer in layers for name in sorted(layer.model_fields_set)}
    return RuleSettings.model_construct(_fields_set=set(merged), **merged)


def resolve_rules(bundle: PlannedBundle, settings: RuleSettings, where: str) -> BundleRules:
    """Settings as limits of this bundle.

    Args:
        bundle: what they are for.
        settings: merged from all layers.
        where: what to call them in messages.

    Raises:
        ConfigError: a limit is out of the bundle's range, or limits contradict each other.
    """
    floor, ceiling = _floor(bundle, settings, where), _ceiling(bundle, settings, where)
    dose_limit = _dose_limit(bundle, settings, where)
    if floor > ceiling:
        raise ConfigError(f"{where}: the floor is {floor:g}, above the ceiling {ceiling:g}; wanted at most that")
    if dose_limit is not None and floor > dose_limit:
        raise ConfigError(
            f"{where}: the floor is {floor:g}; the dose cap {settings.dose_cap:g} allows {dose_limit:g} at most "
            f"(dose_p95 is {bundle.dose_p95:g})"
        )
    return BundleRules(
        enabled=settings.enabled,
        floor=floor,
        ceiling=ceiling,
        dose_limit=dose_limit,
        on_dose_cap=settings.on_dose_cap,
        mode=settings.mode,
        rollout=settings.rollout,
        classifier_failure=settings.classifier_failure,
        override=settings.override,
    )


def _floor(bundle: PlannedBundle, settings: RuleSettings, where: str) -> float:
    _check_range("floor", settings.floor, bundle, where)
    # Exactly up: a floor has no rounding noise to forgive.
    return math.ceil(settings.floor * STRENGTH_STEPS) / STRENGTH_STEPS


def _ceiling(bundle: PlannedBundle, settings: RuleSettings, where: str) -> float:
    if settings.ceiling is None:
        return bundle.highest
    _check_range("ceiling", settings.ceiling, bundle, where)
    return math.floor(settings.ceiling * STRENGTH_STEPS) / STRENGTH_STEPS


def _check_range(name: str, value: float, bundle: PlannedBundle, where: str) -> None:
    if not 0 <= value <= bundle.highest:
        raise ConfigError(f"{where}: the {name} is {value:g}; wanted a number in [0, {bundle.highest:g}]")


def _dose_limit(bundle: PlannedBundle, settings: RuleSettings, where: str) -> float | None:
    if settings.dose_cap is None:
        return None
    if bundle.dose_p95 is None:
        raise ConfigError(f"{where}: there is a dose cap, and bundle {bundle.name!r} declares no dose_p95")
    return strength_within(settings.dose_cap, bundle.dose_p95, bundle.highest)


def strength_within(dose_cap: float, dose_p95: float, highest: float) -> float:
    """The highest multiple of 1/16, up to `highest`, whose dose does not exceed the cap.

    Args:
        dose_cap: relative dose, at least 0.
        dose_p95: relative dose at strength 1, at least 0.
        highest: a multiple of 1/16.
    """
    if dose_p95 == 0 or highest * dose_p95 <= dose_cap:
        return highest
    steps = math.floor(dose_cap / dose_p95 * STRENGTH_STEPS)
    # The division may have rounded up by half a unit in the last place.
    while steps > 0 and steps / STRENGTH_STEPS * dose_p95 > dose_cap:
        steps -= 1
    return steps / STRENGTH_STEPS
