"""The composition root of the server: from a configuration to the parts of a running one.

The only place that knows which engine, classifier and scorer there are. Refuses to start with a bundle that does
not fit the model, or a gate without its harm potential.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from breakers.bundles import Bundle, open_bundle, verify_base, verify_sites
from breakers.bundles.reference import parse_reference, require_commit
from breakers.errors import BaseMismatchError
from breakers.scoring import HarmScorer
from server.bundles.sources import BundleSources
from server.bundles.verifier import BundleVerifier
from server.config import ServerConfig
from server.errors import ConfigError
from server.generation.limits import GenerationLimits
from server.hosting import host_apart, host_here
from server.parts import NONE, access_of, audit_of, classifier_of, tracing_of, warn_of_foreign_gates
from server.policy.loading import load_policy
from server.reloading import prepare_reloads
from server.state import ServerParts, ServerState, assemble

if TYPE_CHECKING:
    from server.engines.apart.spawning import ChildProcess

logger = logging.getLogger(__name__)

DEMO_SCORER = "demo"


def build_server(config: ServerConfig, child: ChildProcess | None = None) -> ServerState:
    """Everything that `config` asks for, loaded and checked; no step is taken yet.

    Args:
        config: what is asked for.
        child: the process that the engine is to run in, which stopping the engine ends; None for this one.

    Raises:
        ConfigError: the parts do not fit each other.
        BreakersError: a bundle cannot be read or trusted, or was made on another model.
        ClassifiersError: the classifier or the scorer cannot be built.
    """
    if config.is_gateway:
        raise ConfigError("vLLM runs the model of this configuration; wanted one for the embedded engine")
    # Before the model: what is refused is refused at once.
    policy = None if config.policy is None else load_policy(config.policy)
    access, audit = access_of(config), audit_of(config)
    model = model_path(config)
    hosting = host_here(config.engine, model) if child is None else host_apart(config.engine, model, child)
    classifier = classifier_of(config)
    references = bundle_references(config)
    bundles = load_bundles(references, pinned=config.require_pinned_bundles)
    hosted = hosting()
    _verify_bases(bundles, hosted.fingerprint, config.accept_base_mismatch)
    for bundle in bundles:
        verify_sites(bundle, hosted.sites)
    parts = ServerParts(
        engine=hosted.engine([bundle.bank_entry() for bundle in bundles]),
        bundles=bundles,
        served_name=config.name,
        classifier=classifier,
        classifier_timeout_seconds=config.classifier.timeout_seconds,
        scorer=_scorer(config),
        scoring_rate=config.output_scoring.rate,
        body_limit=config.body_limit,
        queue_size=config.engine.queue_size,
        references=references,
        verifier=BundleVerifier(fingerprint=hosted.fingerprint, sites=hosted.sites),
        sources=BundleSources(roots=tuple(config.bundle_roots), pinned=config.require_pinned_bundles),
        accepted_mismatches=config.accept_base_mismatch,
        policy=policy,
        policy_file=config.policy,
        access=access,
        audit=audit,
        limits=GenerationLimits(
            max_tokens=config.limits.max_tokens,
            max_prompt_tokens=config.limits.max_prompt_tokens,
            request_seconds=config.limits.request_seconds,
        ),
        tracing=tracing_of(config),
    )
    state = assemble(parts)
    prepare_reloads(state)
    warn_of_foreign_gates(bundles, classifier)
    _log_start(config, state)
    return state


def bundle_references(config: ServerConfig) -> list[str]:
    """Where the bundles of a configuration are: the named ones, else those packaged with the demo model."""
    if config.bundles is not None:
        return list(config.bundles)
    if config.model is not None:
        return []
    from breakers.demo import bundles_path

    return sorted(str(path) for path in _packaged(bundles_path).iterdir() if path.is_dir())


def load_bundles(references: Sequence[str | Path], *, pinned: bool = False) -> tuple[Bundle, ...]:
    """Load and verify bundles, in order.

    Args:
        references: directories or `hf://owner/name[@revision]`.
        pinned: whether references to the Hub must name a whole commit.

    Raises:
        BundleError: one cannot be had, read or trusted.
        ConfigError: two share a name.
    """
    if pinned:
        # All of them before any is downloaded.
        for reference in references:
            require_commit(parse_reference(reference))
    bundles = tuple(open_bundle(reference) for reference in references)
    seen: dict[str, Bundle] = {}
    for bundle in bundles:
        if bundle.name in seen:
            raise ConfigError(f"{seen[bundle.name].source} and {bundle.source} are both called {bundle.name!r}")
        seen[bundle.name] = bundle
    return bundles


def model_path(config: ServerConfig) -> str:
    """The model's directory: the named one, else the packaged demo model's.

    Raises:
        ConfigError: it was not packaged.
    """
    if config.model is not None:
        return config.model
    from breakers.demo import model_path as find

    return str(_packaged(find))


def _packaged(find: Callable[[], Path]) -> Path:
    """Package data of the demo.

    Raises:
        ConfigError: it was not packaged.
    """
    try:
        return find()
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from error


def _verify_bases(bundles: Sequence[Bundle], fingerprint: str, accepted: Sequence[str]) -> None:
    unknown = sorted(set(accepted) - {bundle.name for bundle in bundles})
    if unknown:
        loaded = ", ".join(bundle.name for bundle in bundles) or "none"
        raise ConfigError(f"a base mismatch is accepted for {', '.join(unknown)}, but loaded bundles are: {loaded}")
    for bundle in bundles:
        try:
            verify_base(bundle, fingerprint)
        except BaseMismatchError as mismatch:
            if bundle.name not in accepted:
                raise
            logger.warning("accepted on request: %s", mismatch)


def _scorer(config: ServerConfig) -> HarmScorer | None:
    name = config.output_scoring.scorer
    if name is None:
        name = DEMO_SCORER if config.model is None else NONE
    if name == NONE:
        return None
    from classifiers.scorers import build_scorer

    return build_scorer(name)


def _log_start(config: ServerConfig, state: ServerState) -> None:
    info, deployment = state.engine.info, state.deployments.current
    logger.info(
        "model: %s as %s (%s, %s, %s), %d slots of %d tokens",
        config.model or "the packaged demo model",
        config.name,
        info.model_type,
        info.device,
        info.dtype,
        info.slots,
        info.max_model_len,
    )
    sources = {name: bundle.source for name, bundle in deployment.bundles.items()}
    for bundle in deployment.planner.bundles.values():
        default = "gate decides" if bundle.gate is not None else "off unless asked"
        logger.info(
            "bundle: %s (%s, harm potential of %s, %s) from %s",
            bundle.name,
            bundle.kind,
            bundle.category,
            default,
            sources[bundle.name],
        )
    if not deployment.bundles:
        logger.info("bundles: none; the model runs unmodified")
    logger.info("classifier: %s", state.classifier.classifier.name if state.classifier is not None else NONE)
    logger.info("output scoring: %s", state.outputs.scorer.name if state.outputs is not None else NONE)
    keys = state.access.keys
    if keys is not None:
        logger.info("keys: %d from %s", len(keys.ring.records), keys.path)
    elif config.insecure_no_keys:
        logger.warning("keys: none; whoever reaches %s may use the model (--insecure-no-keys)", config.host)
    else:
        logger.info("keys: none are asked for on %s", config.host)
    policy = deployment.planner.policy
    logger.info("policy: %s", NONE if state.policy_file is None else f"{policy.digest} from {policy.source}")
    logger.info("audit log: %s", config.audit_log or "among these messages")
