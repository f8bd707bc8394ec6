"""The parts of a running gateway, put together: what `create_gateway` serves, and what tests build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from breakers.bundles import Bundle
from breakers.scoring import HarmScorer
from classifiers.base import HarmClassifier
from classifiers.encoders import TextEncoder, encoder_in
from server.access.access import Access
from server.access_metrics import AccessFile
from server.audit import AuditLog, ServerLogAudit
from server.bundles.manager import bundle_labels
from server.deploying import plan_bundles
from server.deployment import Deployments
from server.engines.base import EngineStats
from server.gateway.accounts import Accounts
from server.gateway.forwarding import Forwarding
from server.gateway.metrics import UpstreamMetrics
from server.gateway.planning import RequestPlanning
from server.gateway.proof import Proven, WantedUpstream
from server.gateway.service import Gateway
from server.gateway.upstream import Upstream, UpstreamAddress
from server.gateway.watch import UpstreamWatch
from server.generation.enforcement import Enforcement
from server.generation.limits import NO_LIMITS, GenerationLimits
from server.harm.outputs import OutputScoring
from server.harm.potential import HarmPotential
from server.lifecycle import Lifecycle
from server.metrics import Metrics
from server.policy.policy import Policy
from server.policy.profiles import ServedNames
from server.state import BODY_LIMIT
from server.tracing import NO_TRACING, Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayParts:
    """What a gateway is made of; what has a default does without it."""

    address: UpstreamAddress
    wanted: WantedUpstream
    """Its bundles are those that requests can switch."""
    proven: Proven
    """What the upstream proved at the start."""
    served_name: str | None = None
    """What requests call the model; None for the upstream's name."""
    starts: Callable[[], int] = lambda: 0
    """How often a supervised upstream was started."""
    check_seconds: float = 10.0
    classifier: HarmClassifier | None = None
    classifier_timeout_seconds: float = 1.0
    scorer: HarmScorer | None = None
    scoring_rate: float = 1.0
    body_limit: int = BODY_LIMIT
    policy: Policy | None = None
    policy_file: Path | None = None
    access: Access = field(default_factory=Access)
    audit: AuditLog = field(default_factory=ServerLogAudit)
    limits: GenerationLimits = NO_LIMITS
    tracing: Tracing = NO_TRACING


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayState:
    """Everything that one application holds. Made by `assemble_gateway`; belongs to the event loop that the
    application is started in."""

    gateway: Gateway
    upstream: Upstream
    watch: UpstreamWatch
    deployments: Deployments
    names: ServedNames
    metrics: Metrics
    upstream_metrics: UpstreamMetrics
    accounts: Accounts
    classifier: HarmPotential | None
    encoder: TextEncoder | None
    """The classifier's, where it has one."""
    outputs: OutputScoring | None
    lifecycle: Lifecycle
    tracing: Tracing
    body_limit: int
    access: Access
    audit: AuditLog
    policy_file: Path | None


def assemble_gateway(parts: GatewayParts) -> GatewayState:
    """Put the parts together; nothing is sent yet.

    Raises:
        ConfigError: a gate reads a category that the classifier does not have, or the policy does not fit.
    """
    bundles = {bundle.name: bundle for bundle in parts.wanted.bundles}
    deployments = Deployments(plan_bundles(bundles, classifier=parts.classifier, policy=parts.policy))
    metrics = _metrics(parts, parts.wanted.bundles)
    upstream, upstream_metrics = Upstream(parts.address), UpstreamMetrics(metrics.registry)
    watch = UpstreamWatch(upstream, parts.wanted, check_seconds=parts.check_seconds, proved=metrics.selftested)
    upstream_metrics.watch(lambda: watch.up, parts.starts)
    outputs = None if parts.scorer is None else OutputScoring(parts.scorer, metrics, rate=parts.scoring_rate)
    accounts = Accounts(
        metrics=metrics,
        upstream=upstream_metrics,
        outputs=outputs,
        rates=parts.access.rates,
        deployments=deployments,
    )
    metrics.watch_engine(lambda: EngineStats(running=accounts.running, waiting=0, steps=0))
    planning = _planning(parts, deployments, metrics)
    return GatewayState(
        gateway=Gateway(
            upstream=upstream,
            watch=watch,
            planning=planning,
            forwarding=Forwarding(upstream, watch, accounts, request_seconds=parts.limits.request_seconds),
            accounts=accounts,
            bank=parts.wanted.bank,
            model=parts.proven.model,
            body_limit=parts.body_limit,
            requests=parts.address.requests,
        ),
        upstream=upstream,
        watch=watch,
        deployments=deployments,
        names=planning.names,
        metrics=metrics,
        upstream_metrics=upstream_metrics,
        accounts=accounts,
        classifier=planning.classifier,
        encoder=encoder_in(parts.classifier),
        outputs=outputs,
        lifecycle=Lifecycle(watch),
        tracing=parts.tracing,
        body_limit=parts.body_limit,
        access=parts.access,
        audit=parts.audit,
        policy_file=parts.policy_file,
    )


def _metrics(parts: GatewayParts, bundles: Sequence[Bundle]) -> Metrics:
    metrics = Metrics(
        [bundle_labels(bundle) for bundle in bundles],
        parts.classifier.categories if parts.classifier is not None else (),
        parts.scorer.behaviours if parts.scorer is not None else (),
    )
    if parts.access.keys is not None:
        parts.access.keys.reloaded = lambda done: metrics.access.reloaded(AccessFile.KEYS, done=done)
    return metrics


def _planning(parts: GatewayParts, deployments: Deployments, metrics: Metrics) -> RequestPlanning:
    classifier = None
    if parts.classifier is not None:
        classifier = HarmPotential(parts.classifier, timeout_seconds=parts.classifier_timeout_seconds)
    return RequestPlanning(
        deployments=deployments,
        names=ServedNames(parts.served_name or parts.proven.model),
        metrics=metrics,
        classifier=classifier,
        enforcement=Enforcement(rates=parts.access.rates, audit=parts.audit, metrics=metrics.access),
        limits=parts.limits,
        tracing=parts.tracing,
    )
