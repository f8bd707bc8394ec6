"""What operators see of keys, rates and policy. Labels are bundles, reasons and limits, never keys."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter

from breakers.plan import Reason
from server.access.keys import KeyProblem
from server.access.rates import Limit
from server.policy.decisions import Refused, Shadowed
from server.policy.overrides import Override

NEVER_ACTS = frozenset({Reason.OFF, Reason.SHADOW, Reason.PROBE})
"""Reasons that no planned strength above 0 has."""
REFUSED = "refused"
"""Label of a shadow decision that would have refused the request."""

SHADOW_REASONS = (*sorted(set(Reason) - NEVER_ACTS), REFUSED)


class AccessFile(StrEnum):
    """What can be read again while the server runs."""

    POLICY = "policy"
    KEYS = "keys"


class Reload(StrEnum):
    """How reading a file again ended."""

    DONE = "done"
    FAILED = "failed"
    """What held before holds on."""


class AccessMetrics:
    """Counters in the application's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them; those of bundles come with `show_bundle`."""

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._overrides = counter(
            "scalpel_policy_overrides", "Requests that went below a bundle's floor, as they may.", "bundle"
        )
        self._refused = counter(
            "scalpel_policy_overrides_refused", "Requests refused because they went below a bundle's floor.", "bundle"
        )
        self._shadow = counter(
            "scalpel_shadow_interventions",
            "Requests in which a bundle in shadow would have acted, or refused the request, by why.",
            *("bundle", "reason"),
        )
        self._reloads = counter(
            "scalpel_policy_reloads", "Times that the policy or the keys were read again.", "file", "outcome"
        )
        self._limited = counter("scalpel_rate_limited", "Requests refused because a key used its rate up.", "limit")
        self._auth = counter("scalpel_auth_failures", "Requests refused for their API key, by why.", "reason")
        self._audit = counter("scalpel_audit_failures", "Entries that the audit log could not take.")
        for file in AccessFile:
            for outcome in Reload:
                self._reloads.labels(file=file, outcome=outcome)
        for limit in Limit:
            self._limited.labels(limit=limit)
        for problem in KeyProblem:
            self._auth.labels(reason=problem)

    def show_bundle(self, name: str) -> None:
        """Create the series of a loaded bundle."""
        self._overrides.labels(bundle=name)
        self._refused.labels(bundle=name)
        for reason in SHADOW_REASONS:
            self._shadow.labels(bundle=name, reason=reason)

    def forget_bundle(self, name: str) -> None:
        """Drop the series of a bundle that no request uses any more."""
        self._overrides.remove(name)
        self._refused.remove(name)
        for reason in SHADOW_REASONS:
            self._shadow.remove(name, reason)

    def overridden(self, override: Override) -> None:
        """A request goes below a floor."""
        self._overrides.labels(bundle=override.bundle).inc()

    def override_refused(self, override: Override) -> None:
        """A request was refused because it would."""
        self._refused.labels(bundle=override.bundle).inc()

    def shadowed(self, shadow: Mapping[str, Shadowed]) -> None:
        """One request met bundles in shadow."""
        for bundle, would in shadow.items():
            if isinstance(would, Refused):
                self._shadow.labels(bundle=bundle, reason=REFUSED).inc()
            elif would.strength > 0:
                self._shadow.labels(bundle=bundle, reason=would.reason).inc()

    def reloaded(self, file: AccessFile, *, done: bool) -> None:
        """A file was read again, or could not be."""
        self._reloads.labels(file=file, outcome=Reload.DONE if done else Reload.FAILED).inc()

    def rate_limited(self, limit: str) -> None:
        """A request was refused for a rate."""
        self._limited.labels(limit=limit).inc()

    def auth_failed(self, problem: KeyProblem) -> None:
        """A request was refused for its key."""
        self._auth.labels(reason=problem).inc()

    def audit_failed(self) -> None:
        """An entry could not be written."""
        self._audit.inc()
