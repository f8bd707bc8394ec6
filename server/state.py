"""The parts of a running server, put together: what `create_app` serves, and what tests build from stubs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from breakers.bundles import Bundle
from breakers.scoring import HarmScorer
from classifiers.base import HarmClassifier
from server.deployment import Deployment, Deployments
from server.engines.base import Engine
from server.errors import ConfigError
from server.generation.service import GenerationService
from server.harm.outputs import OutputScoring
from server.harm.potential import HarmPotential
from server.metrics import BundleLabels, Metrics
from server.policy.planner import PlannedBundle, Planner
from server.policy.profiles import ServedNames
from server.readiness import Readiness
from server.selftest import SelfTest

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
    body_limit: int
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
    accepted_bundles: Collection[str] = (),
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
        accepted_bundles: names of bundles that may act otherwise than their manifest says.

    Raises:
        ConfigError: a gate reads a category that the classifier does not have, or the engine runs other bundles.
    """
    planner = Planner(planned_bundle(bundle) for bundle in bundles)
    _check_categories(planner, classifier)
    if sorted(engine.info.bundles) != sorted(planner.bundles):
        raise ConfigError(
            f"the engine runs bundles {sorted(engine.info.bundles)}; the planner has {sorted(planner.bundles)}"
        )
    metrics = Metrics(
        [_labels(bundle) for bundle in bundles],
        classifier.categories if classifier is not None else (),
        scorer.behaviours if scorer is not None else (),
    )
    metrics.watch_engine(engine.stats)
    potential = None
    if classifier is not None:
        potential = HarmPotential(classifier, timeout_seconds=classifier_timeout_seconds)
    outputs = None if scorer is None else OutputScoring(scorer, metrics, rate=scoring_rate)
    names = ServedNames(served_name)
    readiness = Readiness()
    deployments = Deployments(Deployment(bundles={bundle.name: bundle for bundle in bundles}, planner=planner))
    generation = GenerationService(
        engine=engine, deployments=deployments, names=names, metrics=metrics, classifier=potential, outputs=outputs
    )
    return ServerState(
        engine=engine,
        deployments=deployments,
        names=names,
        metrics=metrics,
        classifier=potential,
        outputs=outputs,
        generation=generation,
        body_limit=body_limit,
        readiness=readiness,
        selftest=SelfTest(engine, metrics, readiness, accepted=accepted_bundles),
    )


def planned_bundle(bundle: Bundle) -> PlannedBundle:
    """A loaded bundle as the planner sees it."""
    return PlannedBundle(
        name=bundle.name,
        kind=bundle.kind,
        behaviour=bundle.manifest.behaviour,
        category=bundle.manifest.category,
        gate=bundle.gate,
        strength_max=bundle.manifest.strength_max,
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


def _labels(bundle: Bundle) -> BundleLabels:
    manifest = bundle.manifest
    return BundleLabels(
        bundle=bundle.name,
        kind=bundle.kind,
        behaviour=manifest.behaviour,
        category=manifest.category,
        scope=manifest.scope,
    )
