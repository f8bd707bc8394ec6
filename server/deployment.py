"""What is deployed: the bundles that requests are planned with, as one immutable value that is swapped as a whole.

A request takes the current deployment once, when it is planned, and holds it to its end. A version of the engine's
bank that no deployment in use refers to any more is reported, once, so that it can be retired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from breakers.bundles import Bundle
from server.policy.planner import Planner


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Bundles, and the planner over them."""

    bundles: Mapping[str, Bundle]
    planner: Planner
    bank_version: int = 0
    """Of the engine's bank that holds exactly these bundles."""
    off_by_default: frozenset[str] = frozenset()
    """Bundles that an operator switched off: they act only in requests that ask for them."""


class Deployments:
    """The current deployment, and who still uses an earlier one. Belongs to the event loop."""

    def __init__(self, first: Deployment) -> None:
        self._current = first
        self._held: dict[str, Deployment] = {}
        self._on_unused: list[Callable[[int], None]] = []

    @property
    def current(self) -> Deployment:
        """What a request that comes now is planned with."""
        return self._current

    @property
    def held(self) -> int:
        """Requests that hold a deployment."""
        return len(self._held)

    def acquire(self, request_id: str) -> Deployment:
        """The deployment of an HTTP request: the current one, and the same one again for each of its prompts."""
        return self._held.setdefault(request_id, self._current)

    def release(self, request_id: str) -> None:
        """The request is over; one that never acquired anything may be released as well."""
        held = self._held.pop(request_id, None)
        if held is not None:
            self._report_unused(held.bank_version)

    def replace(self, deployment: Deployment) -> None:
        """Plan with another one from now on."""
        before, self._current = self._current, deployment
        self._report_unused(before.bank_version)

    def on_unused(self, report: Callable[[int], None]) -> None:
        """Call `report` with each version of the bank that nobody will use again."""
        self._on_unused.append(report)

    def _report_unused(self, version: int) -> None:
        if version == self._current.bank_version:
            return
        if all(held.bank_version != version for held in self._held.values()):
            for report in self._on_unused:
                report(version)
