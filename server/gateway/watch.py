"""Whether requests may be sent to the upstream: it is there, and has proved itself since it was last away.

Once it is away, nothing is sent until all of the proof holds again: what answers then may be another server. While it
is there, its health is asked for every second, and now and then whether it still refuses plans for other banks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

import httpx

from server.engines.checks import CheckResult
from server.gateway.errors import UnprovenError, UpstreamError, UpstreamUnavailableError
from server.gateway.proof import Proven, WantedUpstream, prove, prove_plugin
from server.gateway.upstream import Upstream, reason_of

logger = logging.getLogger(__name__)

HEALTH_SECONDS = 1.0
"""Between two looks at an upstream that is there."""
RETRY_SECONDS = 0.25
"""Between two looks at one that is not."""


class UpstreamState(StrEnum):
    """Where the upstream is."""

    STARTING = "starting"
    """Not proved yet."""
    READY = "ok"
    UNREACHABLE = "unhealthy"
    """It does not answer."""
    UNPROVEN = "failed"
    """It answers, and would not do what is reported."""
    DRAINING = "draining"
    """It is the gateway that is about to stop."""


class UpstreamWatch:
    """Belongs to the event loop, but for `drain`."""

    def __init__(
        self,
        upstream: Upstream,
        wanted: WantedUpstream,
        *,
        check_seconds: float,
        proved: Callable[[Sequence[CheckResult]], None],
    ) -> None:
        """Nothing is asked before `run`.

        Args:
            upstream: what is watched.
            wanted: what it has to prove.
            check_seconds: between two refusals that it is asked for.
            proved: called with the results of each proof that holds.
        """
        self._upstream = upstream
        self._wanted = wanted
        self._check_seconds = check_seconds
        self._proved = proved
        self._suspected = asyncio.Event()
        self._reason = "it has not been asked yet"
        self._draining = False
        self._state = UpstreamState.STARTING
        self._proved_at = 0.0
        self.proven: Proven | None = None
        """The last proof that held."""

    @property
    def state(self) -> UpstreamState:
        """Where the upstream is."""
        return UpstreamState.DRAINING if self._draining else self._state

    @property
    def up(self) -> bool:
        """Whether the upstream is there and proved, whatever the gateway does."""
        return self._state is UpstreamState.READY

    @property
    def reason(self) -> str:
        """Why requests are not sent; empty where they are."""
        return "" if self.up else self._reason

    def drain(self) -> None:
        """The gateway takes no more requests. A signal's handler may call it."""
        self._draining = True

    def require(self) -> None:
        """Refuse where nothing can be sent.

        Raises:
            UpstreamUnavailableError, UnprovenError: saying why.
        """
        if self._state is UpstreamState.UNPROVEN:
            raise UnprovenError(f"nothing is served: {self._reason}")
        if not self.up:
            raise UpstreamUnavailableError(f"the model cannot be reached: {self._reason}")

    def lost(self, reason: str, began: float) -> None:
        """A request found nobody there: nothing is sent until the upstream has proved itself again.

        Args:
            reason: what was found.
            began: when the request did, on the monotonic clock. One from before the last proof says nothing of what
                was proved then.
        """
        if began >= self._proved_at:
            self._away(UpstreamState.UNREACHABLE, reason)
        self.suspect()

    def suspect(self) -> None:
        """A request went otherwise than it should: have it looked at now. Requests go on meanwhile, since one that
        vLLM cannot cope with must not cost others their answers."""
        self._suspected.set()

    async def begin(self) -> None:
        """Ask for the proof once, so that the first request does not have to wait for `run` to."""
        await self._prove()

    async def run(self) -> None:
        """Watch until cancelled."""
        checked = 0.0
        while True:
            if not self.up:
                await self._prove()
                checked = time.monotonic()
            else:
                suspected = self._suspected.is_set()
                self._suspected.clear()
                await self._look()
                if self.up and (suspected or time.monotonic() - checked >= self._check_seconds):
                    await self._check()
                    checked = time.monotonic()
            await self._pause()

    async def _pause(self) -> None:
        if not self.up:
            # Being suspected again tells nothing new of it.
            await asyncio.sleep(RETRY_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._suspected.wait(), HEALTH_SECONDS)

    async def _prove(self) -> None:
        try:
            proven = await prove(self._upstream, self._wanted)
        except UpstreamError as error:
            self._failed(error)
            return
        self.proven = proven
        self._state, self._proved_at = UpstreamState.READY, time.monotonic()
        self._proved(proven.results)
        logger.info("upstream: %s proved itself: %s", self._upstream.address.shown, _names(proven.results))

    async def _check(self) -> None:
        if self.proven is None or not self._wanted.bundles:
            return
        try:
            await prove_plugin(self._upstream, self.proven.model, self._wanted.bank)
        except UpstreamError as error:
            self._failed(error)

    async def _look(self) -> None:
        try:
            response = await self._upstream.questions.get("/health")
        except httpx.HTTPError as error:
            self._away(UpstreamState.UNREACHABLE, f"its /health does not answer ({reason_of(error)})")
            return
        if response.status_code != 200:
            self._away(UpstreamState.UNREACHABLE, f"its /health answers {response.status_code}; wanted 200")

    def _failed(self, error: UpstreamError) -> None:
        wrong = isinstance(error, UnprovenError)
        self._away(UpstreamState.UNPROVEN if wrong else UpstreamState.UNREACHABLE, str(error))

    def _away(self, state: UpstreamState, reason: str) -> None:
        """Note it, and log it where it is new."""
        if (state, reason) != (self._state, self._reason):
            logger.error("upstream: nothing is sent to %s: %s", self._upstream.address.shown, reason)
        self._state, self._reason = state, reason


def _names(results: Sequence[CheckResult]) -> str:
    return ", ".join(result.name for result in results) or "it serves the model, and no bundles are wanted"
