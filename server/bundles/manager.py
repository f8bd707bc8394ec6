"""Adding, reloading, removing and switching bundles while requests run.

Everything that can fail comes before the swap: reading and proving the files, planning with them, compiling them in
the engine, the audit. The swap itself is one assignment, so a failure leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from breakers.bundles import Bundle
from breakers.errors import BreakersError
from server.bundles.sources import BundleSources
from server.bundles.verifier import BundleVerifier
from server.deployment import Deployment, Deployments
from server.engines.base import Engine, EngineError
from server.errors import BundleConflictError, BundleRefusedError, ConfigError, UnknownBreakerError
from server.metrics import BundleLabels, Metrics

logger = logging.getLogger(__name__)

Summary: TypeAlias = dict[str, str | float | bool | None]
Audit: TypeAlias = Callable[[str, Summary | None, Summary | None], None]
"""Told of each change (action, before, after) just before it is made; what it raises prevents the change."""


Prove: TypeAlias = Callable[[Deployment, frozenset[str]], Awaitable[None]]
"""Tries a deployment that no request uses yet, given the names of bundles that may be of another base model; raises
`BundleRefusedError` to refuse it."""


class Deploy(Protocol):
    """Plans with a set of bundles."""

    def __call__(
        self, bundles: Mapping[str, Bundle], /, *, bank_version: int, off_by_default: frozenset[str]
    ) -> Deployment:
        """A deployment, not yet in use.

        Raises:
            ConfigError: these bundles cannot be planned with.
        """
        ...


def log_change(action: str, before: Summary | None, after: Summary | None) -> None:
    """The audit of a server without an audit log."""
    logger.info("%s: %s -> %s", action, before, after)


def nothing_required(_name: str) -> str | None:
    """No bundle has to stay."""
    return None


class BundleManager:
    """Changes the deployment, one change after the other."""

    def __init__(
        self,
        *,
        engine: Engine,
        deployments: Deployments,
        deploy: Deploy,
        metrics: Metrics,
        references: Mapping[str, str],
        verifier: BundleVerifier | None,
        sources: BundleSources,
        accepted_mismatches: frozenset[str] = frozenset(),
        audit: Audit = log_change,
        required: Callable[[str], str | None] = nothing_required,
        prove: Prove | None = None,
    ) -> None:
        """Prepare.

        Args:
            engine: holds the bundles.
            deployments: what requests are planned with.
            deploy: plans with other bundles.
            metrics: has series for each bundle.
            references: where each loaded bundle came from, by its name, for reloading.
            verifier: opens bundles; None refuses to open any.
            sources: where added ones may come from.
            accepted_mismatches: names of bundles that may be of another base model.
            audit: told of each change.
            required: why a bundle must stay loaded (a floor of the policy); None where it need not.
            prove: tries a new set in the engine before requests use it.
        """
        self._engine = engine
        self._deployments = deployments
        self._deploy = deploy
        self._metrics = metrics
        self._references = dict(references)
        self._verifier = verifier
        self._sources = sources
        self._accepted = accepted_mismatches
        self.audit = audit
        self.required = required
        self.prove = prove
        self._changing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        deployments.on_unused(self._retire)

    async def add(self, source: str, *, accept_base_mismatch: bool = False) -> Deployment:
        """Load one more bundle.

        Raises:
            RequestError: the source is not allowed, the bundle is refused, or its name is taken.
            EngineUnavailableError: the engine does not run.
        """
        async with self._changing:
            reference = self._sources.admit(source)
            bundle = await self._open(reference, accept_base_mismatch=accept_base_mismatch)
            current = self._deployments.current
            if bundle.name in current.bundles:
                raise BundleConflictError(
                    f"a breaker {bundle.name!r} is loaded already; reload it, or remove it first",
                    code="breaker_exists",
                )
            accepted = self._accepted | {bundle.name} if accept_base_mismatch else self._accepted
            bundles = {**current.bundles, bundle.name: bundle}
            deployment = await self._swap("breaker.add", bundle.name, bundles, current.off_by_default, accepted)
            self._references[bundle.name], self._accepted = reference, accepted
            return deployment

    async def reload(self, name: str) -> Deployment:
        """Read a loaded bundle again from where it came.

        Raises:
            RequestError: no such bundle is loaded, or what is there now is refused.
            EngineUnavailableError: the engine does not run.
        """
        async with self._changing:
            current = self._loaded(name)
            reference = self._references.get(name)
            if reference is None:
                raise BundleConflictError(f"breaker {name!r} came from no place to read it from again")
            bundle = await self._open(reference, accept_base_mismatch=name in self._accepted)
            if bundle.name != name:
                raise BundleRefusedError(f"{reference} now holds {bundle.name!r}; wanted {name!r}")
            bundles = {**current.bundles, name: bundle}
            return await self._swap("breaker.reload", name, bundles, current.off_by_default, self._accepted)

    async def remove(self, name: str) -> Deployment:
        """Unload a bundle.

        Raises:
            RequestError: no such bundle is loaded, or it has to stay.
            EngineUnavailableError: the engine does not run.
        """
        async with self._changing:
            current = self._loaded(name)
            reason = self.required(name)
            if reason is not None:
                raise BundleConflictError(f"breaker {name!r} has to stay: {reason}", code="breaker_required")
            bundles = {other: bundle for other, bundle in current.bundles.items() if other != name}
            accepted = self._accepted - {name}
            deployment = await self._swap("breaker.remove", name, bundles, current.off_by_default - {name}, accepted)
            self._references.pop(name, None)
            self._accepted = accepted
            return deployment

    async def switch(self, name: str, *, enabled: bool) -> Deployment:
        """Say whether a bundle acts in requests that do not ask for it. Not remembered beyond this process.

        Raises:
            UnknownBreakerError: no such bundle is loaded.
        """
        async with self._changing:
            current = self._loaded(name)
            off = current.off_by_default - {name} if enabled else current.off_by_default | {name}
            after = self._plan(current.bundles, current.bank_version, off)
            self._tell("breaker.switch", name, after)
            self._deployments.replace(after)
            return after

    async def settled(self) -> None:
        """Wait until every bank version that fell out of use has been retired."""
        while self._retiring:
            await asyncio.wait(self._retiring)

    def _loaded(self, name: str) -> Deployment:
        current = self._deployments.current
        if name not in current.bundles:
            loaded = ", ".join(sorted(current.bundles)) or "none"
            raise UnknownBreakerError(f"no breaker {name[:64]!r} is loaded; loaded: {loaded}", code="unknown_breaker")
        return current

    async def _open(self, reference: str, *, accept_base_mismatch: bool) -> Bundle:
        if self._verifier is None:
            raise BundleRefusedError("this server cannot prove bundles, so it opens none")
        try:
            return await asyncio.to_thread(self._verifier.open, reference, accept_base_mismatch=accept_base_mismatch)
        except (BreakersError, OSError) as error:
            raise BundleRefusedError(str(error)) from error

    def _plan(self, bundles: Mapping[str, Bundle], bank_version: int, off: frozenset[str]) -> Deployment:
        try:
            return self._deploy(bundles, bank_version=bank_version, off_by_default=off)
        except ConfigError as error:
            raise BundleRefusedError(str(error)) from error

    async def _swap(
        self,
        action: str,
        name: str,
        bundles: Mapping[str, Bundle],
        off: frozenset[str],
        accepted: frozenset[str],
    ) -> Deployment:
        # Planned once before the engine compiles anything, and again with whatever policy holds afterwards.
        self._plan(bundles, self._deployments.current.bank_version, off)
        try:
            version = await self._engine.load_bundles([bundle.bank_entry() for bundle in bundles.values()])
        except BreakersError as error:
            raise BundleRefusedError(str(error)) from error
        try:
            after = self._plan(bundles, version, off)
            if self.prove is not None:
                await self.prove(after, accepted)
                after = self._plan(bundles, version, off)
            self._tell(action, name, after)
        except BaseException:
            self._retire(version)
            raise
        self._deployments.replace(after)
        self._metrics.show_bundles(bundle_labels(bundle) for bundle in after.bundles.values())
        return after

    def _tell(self, action: str, name: str, after: Deployment) -> None:
        self.audit(action, _summary(self._deployments.current, name), _summary(after, name))

    def _retire(self, version: int) -> None:
        task = asyncio.get_running_loop().create_task(self._retire_now(version))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire_now(self, version: int) -> None:
        try:
            await self._engine.retire_bundles(version)
        except EngineError as error:
            # Stopping or dead: its memory goes with it.
            logger.warning("bank version %d was not retired: %s", version, error)
        self._metrics.forget_bundles()


def bundle_labels(bundle: Bundle) -> BundleLabels:
    """What metrics say about a bundle."""
    manifest = bundle.manifest
    return BundleLabels(
        bundle=bundle.name,
        kind=bundle.kind,
        behaviour=manifest.behaviour,
        category=manifest.category,
        scope=manifest.scope,
    )


def _summary(deployment: Deployment, name: str) -> Summary | None:
    bundle = deployment.bundles.get(name)
    if bundle is None:
        return None
    return {
        "breaker": name,
        "source": bundle.source,
        "weights": bundle.manifest.weights_sha256,
        "enabled": name not in deployment.off_by_default,
        "bank_version": deployment.bank_version,
    }
