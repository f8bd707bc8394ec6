"""The parts of a running server, put together: what `create_app` serves, and what tests build from stubs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breakers.bundles import Bundle
from breakers.scoring import HarmScorer
from classifiers.base import HarmClassifier
from server.access.access import Access
from server.access_metrics import AccessFile
from server.audit import AuditLog, ServerLogAudit
from server.bundles.auditing import audited
from server.bundles.manager import BundleManager, bundle_labels
from server.bundles.sources import BundleSources
from server.bundles.verifier import BundleVerifier
from server.deployment import Deployment, Deployments
from server.engines.base import Engine
from server.errors import ConfigError
from server.generation.enforcement import Enforcement
from server.generation.limits import NO_LIMITS, GenerationLimits
from server.generation.service import GenerationService
from server.harm.outputs import OutputScoring
from server.harm.potential import HarmPotential
from server.lifecycle import Lifecycle
from server.metrics import Metrics
from server.policy.planner import PlannedBundle, Planner
from server.policy.policy import Policy
from server.policy.profiles import ServedNames
from server.readiness import Readiness
from server.selftest import SelfTest
from server.tracing import NO_TRACING, Tracing

BODY_LIMIT = 1024 * 1024
"""Bytes of a request's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """Everything that one application holds. Made by `assemble`."""

    engine: Engine
    deployments: Deployments
    names: ServedNames
    metrics: Metrics
    classifier: HarmPotential | None
    outputs: OutputScoring | None
    generation: GenerationService
    bundles: BundleManager
    lifecycle: Lifecycle
    tracing: Tracing
    body_limit: int
    access: Access
    audit: AuditLog
    policy_file: Path | None
    """What `reload_policy` reads; None where everything is allowed."""
    readiness: Readiness
    selftest: SelfTest


def assemble(
    *,
    engine: Engine,
    bundles: Sequence[Bundle],
    served_name: str,
    classifier: HarmClassifier | None = None,
    classifier_timeout_seconds: float = 1.0,
    scorer: HarmScorer | None = None,
    scoring_rate: float = 1.0,
    body_limit: int = BODY_LIMIT,
    references: Sequence[str] = (),
    verifier: BundleVerifier | None = None,
    sources: BundleSources | None = None,
    accepted_mismatches: Collection[str] = (),
    policy: Policy | None = None,
    policy_file: Path | None = None,
    access: Access | None = None,
    audit: AuditLog | None = None,
    limits: GenerationLimits = NO_LIMITS,
    tracing: Tracing = NO_TRACING,
) -> ServerState:
    """Put the parts together.

    Args:
        engine: runs `bundles`, loaded but not started.
        bundles: what requests can switch.
        served_name: the model name that requests use.
        classifier: scores every input; None only where no bundle has a gate.
        classifier_timeout_seconds: after which a request runs at full strength.
        scorer: scores replies off the hot path; None for none.
        scoring_rate: share of replies that are scored, in [0, 1].
        body_limit: bytes of a request's body.
        references: where `bundles` came from, in their order, for reloading; empty where that is nowhere.
        verifier: opens bundles while the server runs; None refuses to.
        sources: where those may come from; None for nowhere but the Hub.
        accepted_mismatches: names of bundles that may be of another base model, and act otherwise than they declare.
        policy: None to allow everything.
        policy_file: where it was read, to read it again.
        access: None to ask for no key.
        audit: None for the server's own log.
        limits: of one request.
        tracing: where traces go.

    Raises:
        ConfigError: a gate reads a category that the classifier does not have, the engine runs other bundles, or the
            policy does not fit them.
    """

    def deploy(loaded: Mapping[str, Bundle], *, bank_version: int, off_by_default: frozenset[str]) -> Deployment:
        # The policy of the moment: it may have been read again since the start.
        now = policy if deployments is None else deployments.current.planner.policy
        planned = (planned_bundle(b, enabled=b.name not in off_by_default) for b in loaded.values())
        planner = Planner(planned, now)
        _check_categories(planner, classifier)
        return Deployment(bundles=loaded, planner=planner, bank_version=bank_version, off_by_default=off_by_default)

    deployments: Deployments | None = None
    first = deploy({bundle.name: bundle for bundle in bundles}, bank_version=0, off_by_default=frozenset())
    if sorted(engine.info.bundles) != sorted(first.bundles):
        raise ConfigError(
            f"the engine runs bundles {sorted(engine.info.bundles)}; the planner has {sorted(first.bundles)}"
        )
    metrics = Metrics(
        [bundle_labels(bundle) for bundle in bundles],
        classifier.categories if classifier is not None else (),
        scorer.behaviours if scorer is not None else (),
    )
    metrics.watch_engine(engine.stats)
    access = Access() if access is None else access
    if access.keys is not None:
        access.keys.reloaded = lambda done: metrics.access.reloaded(AccessFile.KEYS, done=done)
    audit = ServerLogAudit() if audit is None else audit
    potential = None
    if classifier is not None:
        potential = HarmPotential(classifier, timeout_seconds=classifier_timeout_seconds)
    outputs = None if scorer is None else OutputScoring(scorer, metrics, rate=scoring_rate)
    names = ServedNames(served_name)
    readiness = Readiness()
    selftest = SelfTest(engine, metrics, readiness, accepted=accepted_mismatches)
    deployments = Deployments(first)
    manager = BundleManager(
        engine=engine,
        deployments=deployments,
        deploy=deploy,
        metrics=metrics,
        references=dict(zip(first.bundles, references, strict=bool(references))),
        verifier=verifier,
        sources=sources or BundleSources(),
        accepted_mismatches=frozenset(accepted_mismatches),
        prove=selftest.prove,
        audit=audited(audit, metrics.access),
        required=lambda name: deployments.current.planner.required(name),
    )
    generation = GenerationService(
        engine=engine,
        deployments=deployments,
        names=names,
        metrics=metrics,
        classifier=potential,
        outputs=outputs,
        enforcement=Enforcement(rates=access.rates, audit=audit, metrics=metrics.access),
        limits=limits,
        tracing=tracing,
    )
    return ServerState(
        engine=engine,
        deployments=deployments,
        names=names,
        metrics=metrics,
        classifier=potential,
        outputs=outputs,
        generation=generation,
        bundles=manager,
        lifecycle=Lifecycle(readiness),
        tracing=tracing,
        body_limit=body_limit,
        access=access,
        audit=audit,
        policy_file=policy_file,
        readiness=readiness,
        selftest=selftest,
    )


def planned_bundle(bundle: Bundle, *, enabled: bool = True) -> PlannedBundle:
    """A loaded bundle as the planner sees it."""
    return PlannedBundle(
        name=bundle.name,
        kind=bundle.kind,
        behaviour=bundle.manifest.behaviour,
        category=bundle.manifest.category,
        gate=bundle.gate,
        strength_max=bundle.manifest.strength_max,
        enabled=enabled,
        dose_p95=bundle.manifest.dose_p95,
    )


def _check_categories(planner: Planner, classifier: HarmClassifier | None) -> None:
    known = set(classifier.categories) if classifier is not None else set()
    missing = sorted(planner.gated_categories - known)
    if not missing:
        return
    bundles = sorted(b.name for b in planner.bundles.values() if b.gate is not None and b.category in missing)
    named = classifier.name if classifier is not None else "none"
    raise ConfigError(
        f"the gates of {', '.join(bundles)} read harm potentials of {', '.join(missing)}; the classifier {named} "
        f"has {', '.join(sorted(known)) or 'no categories'}"
    )
