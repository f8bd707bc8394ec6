"""The parts of a running server, put together: what `create_app` serves, and what tests build from stubs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from breakers.bundles import Bundle
from breakers.scoring import HarmScorer
from classifiers.base import HarmClassifier
from classifiers.encoders import TextEncoder, encoder_in
from server.access.access import Access
from server.access_metrics import AccessFile
from server.audit import AuditLog, ServerLogAudit
from server.bundles.auditing import audited
from server.bundles.manager import BundleManager, bundle_labels
from server.bundles.sources import BundleSources
from server.bundles.verifier import BundleVerifier
from server.deploying import Redeploy, plan_bundles
from server.deployment import Deployments
from server.engines.base import Engine
from server.errors import ConfigError
from server.generation.enforcement import Enforcement
from server.generation.limits import NO_LIMITS, GenerationLimits
from server.generation.service import GenerationService
from server.harm.outputs import OutputScoring
from server.harm.potential import HarmPotential
from server.lifecycle import Lifecycle
from server.metrics import Metrics
from server.policy.policy import Policy
from server.policy.profiles import ServedNames
from server.readiness import Readiness
from server.selftest import SelfTest
from server.tracing import NO_TRACING, Tracing

BODY_LIMIT = 1024 * 1024
"""Bytes of a request's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParts:
    """What a server is made of; every part but the first three has a default that does without it."""

    engine: Engine
    """Runs `bundles`, loaded but not started."""
    bundles: Sequence[Bundle]
    """What requests can switch."""
    served_name: str
    """The model name that requests use."""
    classifier: HarmClassifier | None = None
    """Scores every input; None only where no bundle has a gate."""
    classifier_timeout_seconds: float = 1.0
    """After which a request runs at full strength."""
    scorer: HarmScorer | None = None
    """Scores replies off the hot path; None for none."""
    scoring_rate: float = 1.0
    """Share of replies that are scored, in [0, 1]."""
    body_limit: int = BODY_LIMIT
    """Bytes of a request's body."""
    queue_size: int | None = None
    """Requests that the engine lets wait; None where only the engine knows."""
    references: Sequence[str] = ()
    """Where `bundles` came from, in their order, for reloading; empty where that is nowhere."""
    verifier: BundleVerifier | None = None
    """Opens bundles while the server runs; None refuses to."""
    sources: BundleSources = field(default_factory=BundleSources)
    """Where those may come from; by default nowhere but the Hub."""
    accepted_mismatches: Collection[str] = ()
    """Names of bundles that may be of another base model, and act otherwise than they declare."""
    policy: Policy | None = None
    """None to allow everything."""
    policy_file: Path | None = None
    """Where it was read, to read it again."""
    access: Access = field(default_factory=Access)
    """By default no key is asked for."""
    audit: AuditLog = field(default_factory=ServerLogAudit)
    """By default the server's own log."""
    limits: GenerationLimits = NO_LIMITS
    """Of one request."""
    tracing: Tracing = NO_TRACING
    """Where traces go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """Everything that one application holds. Made by `assemble`."""

    engine: Engine
    deployments: Deployments
    names: ServedNames
    metrics: Metrics
    classifier: HarmPotential | None
    encoder: TextEncoder | None
    """The classifier's, where it has one."""
    outputs: OutputScoring | None
    generation: GenerationService
    bundles: BundleManager
    lifecycle: Lifecycle
    tracing: Tracing
    body_limit: int
    queue_size: int | None
    access: Access
    audit: AuditLog
    policy_file: Path | None
    """What `reload_policy` reads; None where everything is allowed."""
    readiness: Readiness
    selftest: SelfTest


def assemble(parts: ServerParts) -> ServerState:
    """Put the parts together.

    Raises:
        ConfigError: a gate reads a category that the classifier does not have, the engine runs other bundles, or the
            policy does not fit them.
    """
    metrics = _metrics(parts)
    deployments = _deployments(parts)
    readiness = Readiness()
    selftest = SelfTest(parts.engine, metrics, readiness, accepted=parts.accepted_mismatches)
    classifier, outputs, names = _classifier(parts), _outputs(parts, metrics), ServedNames(parts.served_name)
    generation = GenerationService(
        engine=parts.engine,
        deployments=deployments,
        names=names,
        metrics=metrics,
        classifier=classifier,
        outputs=outputs,
        enforcement=Enforcement(rates=parts.access.rates, audit=parts.audit, metrics=metrics.access),
        limits=parts.limits,
        tracing=parts.tracing,
    )
    return ServerState(
        engine=parts.engine,
        deployments=deployments,
        names=names,
        metrics=metrics,
        classifier=classifier,
        encoder=encoder_in(parts.classifier),
        outputs=outputs,
        generation=generation,
        bundles=_manager(parts, deployments, metrics, selftest),
        lifecycle=Lifecycle(readiness),
        tracing=parts.tracing,
        body_limit=parts.body_limit,
        queue_size=parts.queue_size,
        access=parts.access,
        audit=parts.audit,
        policy_file=parts.policy_file,
        readiness=readiness,
        selftest=selftest,
    )


def _deployments(parts: ServerParts) -> Deployments:
    bundles = {bundle.name: bundle for bundle in parts.bundles}
    first = plan_bundles(bundles, classifier=parts.classifier, policy=parts.policy)
    if sorted(parts.engine.info.bundles) != sorted(bundles):
        raise ConfigError(
            f"the engine runs bundles {sorted(parts.engine.info.bundles)}; the planner has {sorted(bundles)}"
        )
    return Deployments(first)


def _metrics(parts: ServerParts) -> Metrics:
    metrics = Metrics(
        [bundle_labels(bundle) for bundle in parts.bundles],
        parts.classifier.categories if parts.classifier is not None else (),
        parts.scorer.behaviours if parts.scorer is not None else (),
    )
    metrics.watch_engine(parts.engine.stats)
    if parts.access.keys is not None:
        parts.access.keys.reloaded = lambda done: metrics.access.reloaded(AccessFile.KEYS, done=done)
    return metrics


def _classifier(parts: ServerParts) -> HarmPotential | None:
    if parts.classifier is None:
        return None
    return HarmPotential(parts.classifier, timeout_seconds=parts.classifier_timeout_seconds)


def _outputs(parts: ServerParts, metrics: Metrics) -> OutputScoring | None:
    return None if parts.scorer is None else OutputScoring(parts.scorer, metrics, rate=parts.scoring_rate)


def _manager(parts: ServerParts, deployments: Deployments, metrics: Metrics, selftest: SelfTest) -> BundleManager:
    names = [bundle.name for bundle in parts.bundles]
    return BundleManager(
        engine=parts.engine,
        deployments=deployments,
        deploy=Redeploy(deployments, parts.classifier),
        metrics=metrics,
        references=dict(zip(names, parts.references, strict=bool(parts.references))),
        verifier=parts.verifier,
        sources=parts.sources,
        accepted_mismatches=frozenset(parts.accepted_mismatches),
        prove=selftest.prove,
        audit=audited(parts.audit, metrics.access),
        required=lambda name: deployments.current.planner.required(name),
    )
