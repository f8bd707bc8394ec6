"""The planner: wishes and harm potentials -> one strength per loaded bundle within policy, as a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from breakers.plan import AppliedStrength, Plan, Reason
from server.errors import InvalidRequestError
from server.policy.bundles import PlannedBundle
from server.policy.decisions import Decision, Potentials, Shadowed, decide_enforced, decide_shadowed, is_enforced
from server.policy.overrides import check_toggle_of_disabled, granted_overrides
from server.policy.policy import Policy
from server.policy.wishes import Toggle, Wishes

__all__ = ["PlannedBundle", "Planner", "Toggle", "Wishes"]


class Planner:
    """Plans for one set of loaded bundles under one policy. Immutable: another of either makes another planner."""

    def __init__(self, bundles: Iterable[PlannedBundle], policy: Policy | None = None) -> None:
        """Check the policy against the bundles.

        Args:
            bundles: the loaded ones.
            policy: None for one that allows everything.

        Raises:
            ConfigError: the policy names a bundle that is not loaded, or a limit does not fit.
        """
        self.bundles: dict[str, PlannedBundle] = {bundle.name: bundle for bundle in bundles}
        self.policy = Policy() if policy is None else policy
        self._rules = self.policy.rules(self.bundles)

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

    def allow(self, wishes: Wishes) -> None:
        """Refuse what this caller may not ask for, before any work is done for the request.

        Raises:
            OverrideForbiddenError: it goes below a floor without being allowed to.
            PermissionDeniedError: it switches on what policy has switched off.
        """
        rules = self._rules.of(wishes.caller)
        enforced = self._enforced(wishes)
        granted_overrides(self.bundles, rules, wishes, enforced)
        for name in sorted(enforced):
            check_toggle_of_disabled(self.bundles[name], rules[name], wishes)

    def decide(self, wishes: Wishes, potentials: Potentials) -> Decision:
        """What becomes of one request.

        Args:
            wishes: their toggles checked by `check`.
            potentials: calibrated harm potential by category, each in [0, 1]; None where the classifier failed.

        Raises:
            OverrideForbiddenError, PermissionDeniedError, ClassifierRequiredError: policy refuses the request.
        """
        rules = self._rules.of(wishes.caller)
        enforced = self._enforced(wishes)
        overrides = granted_overrides(self.bundles, rules, wishes, enforced)
        entries: dict[str, AppliedStrength] = {}
        shadow: dict[str, Shadowed] = {}
        for name, bundle in self.bundles.items():
            if name in enforced:
                entries[name] = decide_enforced(bundle, rules[name], wishes, potentials)
            else:
                entries[name] = AppliedStrength(strength=0.0, reason=Reason.SHADOW)
                shadow[name] = decide_shadowed(bundle, rules[name], wishes, potentials)
        return Decision(plan=Plan(entries), shadow=shadow, overrides=overrides)

    def required(self, name: str) -> str | None:
        """Why a bundle must stay loaded; None where it need not."""
        if name in self.policy.named_bundles:
            return "the policy has rules for it"
        if any(rules[name].enabled and rules[name].floor > 0 for rules in self._rules.all if name in rules):
            return "the policy has a floor for it"
        return None

    def plan(self, wishes: Wishes, potentials: Potentials) -> Plan:
        """The strengths of one request, every loaded bundle named; see `decide`."""
        return self.decide(wishes, potentials).plan

    def _enforced(self, wishes: Wishes) -> frozenset[str]:
        rules = self._rules.of(wishes.caller)
        return frozenset(name for name in self.bundles if is_enforced(rules[name], wishes))
