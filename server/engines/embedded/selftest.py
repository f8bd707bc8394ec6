"""The self-test of the embedded engine: `selftest_forwards` between two steps, `selftest_requests` as requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from server.engines.base import EngineInfo, EngineUnavailableError
from server.engines.checks import BATCH, PREFIX, STRENGTH_0, Canary, CheckResult, Verdict
from server.engines.embedded.banks import LoadedBank
from server.engines.embedded.executor import Executor
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.selftest_forwards import ForwardChecks
from server.engines.embedded.selftest_requests import Prepare, RequestChecks

logger = logging.getLogger(__name__)


class SelfTest:
    """The checks of `server.engines.checks` on one engine, any number of times."""

    def __init__(
        self, executor: Executor, mailbox: Mailbox, info: EngineInfo, *, block: int | None, bitwise: bool
    ) -> None:
        """`block` and `bitwise`: as `RequestChecks` takes them."""
        self._executor = executor
        self._mailbox = mailbox
        self._info = info
        self._block = block
        self._bitwise = bitwise
        self._runs = 0

    async def run(self, bank: LoadedBank, canaries: Sequence[Canary], prepare: Prepare) -> tuple[CheckResult, ...]:
        """Every check, whatever the others say.

        Raises:
            EngineUnavailableError: the engine does not run.
        """
        self._runs += 1
        forwards = ForwardChecks(self._executor, bank)
        requests = RequestChecks(
            self._mailbox,
            prepare,
            bank.bank,
            self._info,
            block=self._block,
            bitwise=self._bitwise,
            run=self._runs,
        )
        strength_0 = await _made(STRENGTH_0, asyncio.wrap_future(self._mailbox.call(forwards.strength_0)))
        acting = await self.canaries(bank, canaries)
        return (strength_0, *acting, await _made(BATCH, requests.batch()), await _made(PREFIX, requests.prefix()))

    async def canaries(self, bank: LoadedBank, canaries: Sequence[Canary]) -> tuple[CheckResult, ...]:
        """Whether the bank's bundles act as declared. One between each two steps, so that none is held up for long.

        Raises:
            EngineUnavailableError: the engine does not run.
        """
        forwards = ForwardChecks(self._executor, bank)
        results = []
        for canary in canaries:
            job = self._mailbox.call(lambda canary=canary: forwards.canary(canary))  # type: ignore[misc]
            results.append(await _made(canary.check, asyncio.wrap_future(job)))
        return tuple(results)


async def _made(name: str, check: Awaitable[CheckResult]) -> CheckResult:
    """The check's result; one that cannot be made has failed."""
    try:
        return await check
    except EngineUnavailableError:
        raise
    except Exception as error:
        logger.exception("the check %s could not be made", name)
        return CheckResult(
            name=name,
            verdict=Verdict.FAILED,
            detail=f"the check could not be made: {type(error).__name__}: {error}",
        )
