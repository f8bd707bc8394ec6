"""Whether requests may be sent: the one state that the health routes show and every model route asks.

It begins as `starting` and serves nothing; only a self-test that passed makes it `ready`. `failed` and `draining` are
final.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from server.engines.checks import CheckResult, failing
from server.errors import NotReadyError


class ReadinessState(StrEnum):
    """Where a server is between its start and its end."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """The self-test failed: this process will never serve."""
    DRAINING = "draining"
    """Accepted requests finish, new ones go elsewhere."""


class Readiness:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._state = ReadinessState.STARTING
        self._results: tuple[CheckResult, ...] = ()

    @property
    def state(self) -> ReadinessState:
        """Where the server is."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether requests are served."""
        return self._state is ReadinessState.READY

    @property
    def results(self) -> tuple[CheckResult, ...]:
        """Of the last self-test; none before the first."""
        return self._results

    def settle(self, results: Sequence[CheckResult]) -> None:
        """Note a self-test's results: the server is ready or has failed by them. No result proves nothing."""
        self._results = tuple(results)
        if self._state in (ReadinessState.STARTING, ReadinessState.READY):
            proved = bool(self._results) and not failing(self._results)
            self._state = ReadinessState.READY if proved else ReadinessState.FAILED

    def drain(self) -> None:
        """Serve no new request from now on; a server that has failed stays failed."""
        if self._state is not ReadinessState.FAILED:
            self._state = ReadinessState.DRAINING

    def require(self) -> None:
        """Let a request pass.

        Raises:
            NotReadyError: requests are not served now; the message says why.
        """
        if not self.ready:
            raise NotReadyError(self._state.value, _REASONS[self._state] + self._failing())

    def _failing(self) -> str:
        if self._state is not ReadinessState.FAILED:
            return ""
        return ", ".join(result.name for result in failing(self._results)) or "no check was made"


_REASONS = {
    ReadinessState.STARTING: "the server is starting: its self-test has not passed yet",
    ReadinessState.FAILED: "the server does not serve: its self-test failed: ",
    ReadinessState.DRAINING: "the server is about to stop and takes no new requests",
}
