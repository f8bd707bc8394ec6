"""The self-test in a server: what is tested, who hears of it, and that nothing is served without it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

from breakers.bundles import Bundle
from server.deployment import Deployment
from server.engines.base import Engine, EngineUnavailableError
from server.engines.checks import CANARY, Canary, CheckResult, Verdict, failing
from server.errors import BundleRefusedError
from server.metrics import Metrics
from server.readiness import Readiness

logger = logging.getLogger(__name__)

ENGINE = "engine"
"""The check that fails where the engine stops before it could prove anything."""


def canaries_of(bundles: Iterable[Bundle], accepted: Collection[str] = ()) -> tuple[Canary, ...]:
    """What bundles declare about themselves, as an engine checks it.

    Args:
        bundles: loaded ones.
        accepted: names of those that may act otherwise than declared.
    """
    return tuple(
        Canary(
            bundle=bundle.name,
            token_ids=tuple(bundle.manifest.canary.token_ids),
            logit_ids=tuple(bundle.manifest.canary.logit_ids),
            change=tuple(bundle.manifest.canary.change),
            accepted=bundle.name in accepted,
        )
        for bundle in bundles
    )


class SelfTest:
    """Runs an engine's checks for one server, and tells log, metrics and readiness."""

    def __init__(
        self, engine: Engine, metrics: Metrics, readiness: Readiness, *, accepted: Collection[str] = ()
    ) -> None:
        """`accepted`: names of bundles that may act otherwise than they declare."""
        self._engine = engine
        self._metrics = metrics
        self._readiness = readiness
        self._accepted = frozenset(accepted)

    async def run(self, bundles: Iterable[Bundle]) -> tuple[CheckResult, ...]:
        """Every check, with the bundles that the engine serves; what comes of it is the server's readiness."""
        try:
            results = await self._engine.selftest(canaries_of(bundles, self._accepted))
        except EngineUnavailableError as error:
            results = (CheckResult(name=ENGINE, verdict=Verdict.FAILED, detail=str(error)),)
        self._note(results)
        return results

    async def check_bank(
        self, bundles: Iterable[Bundle], bank_version: int, accepted: Collection[str]
    ) -> tuple[CheckResult, ...]:
        """Whether the bundles of a bank act as they declare, before any request uses it.

        A bank with a failing bundle must not be used: what serves now goes on, and so do its results.

        Args:
            bundles: those of the bank.
            bank_version: the engine's, of the bank.
            accepted: names of bundles that may act otherwise than they declare.

        Returns:
            One result for each bundle; `server.engines.checks.failing` picks those that forbid the bank's use.

        Raises:
            EngineUnavailableError: the engine does not run.
        """
        results = await self._engine.check_canaries(canaries_of(bundles, accepted), bank_version)
        if failing(results):
            _log(results)
            return results
        others = [result for result in self._readiness.results if not result.name.startswith(CANARY)]
        self._note((*others, *results))
        return results

    async def prove(self, deployment: Deployment, accepted: Collection[str]) -> None:
        """Refuse a deployment that no request uses yet if a bundle does not act as it declares.

        Raises:
            BundleRefusedError: naming each that does not.
            EngineUnavailableError: the engine does not run.
        """
        results = await self.check_bank(deployment.bundles.values(), deployment.bank_version, accepted)
        bad = failing(results)
        if bad:
            raise BundleRefusedError("; ".join(f"{result.name}: {result.detail}" for result in bad))

    def _note(self, results: Sequence[CheckResult]) -> None:
        _log(results)
        self._metrics.selftested(results)
        self._readiness.settle(results)


def _log(results: Sequence[CheckResult]) -> None:
    for result in results:
        if result.verdict is Verdict.FAILED:
            logger.error("self-test: %s failed: %s", result.name, result.detail)
        elif result.verdict is Verdict.ACCEPTED:
            logger.warning("self-test: %s: %s", result.name, result.detail)
    if not failing(results):
        logger.info("self-test: passed (%s)", ", ".join(result.name for result in results))
