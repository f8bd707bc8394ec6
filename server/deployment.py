"""What is deployed: the bundles that requests are planned with, as one immutable value that is swapped as a whole.

A request takes the current deployment once, when it is planned, and keeps it to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class Deployments:
    """The current deployment. Belongs to the event loop."""

    def __init__(self, first: Deployment) -> None:
        self._current = first

    @property
    def current(self) -> Deployment:
        """What a request that comes now is planned with."""
        return self._current

    def replace(self, deployment: Deployment) -> None:
        """Plan with another one from now on."""
        self._current = deployment
