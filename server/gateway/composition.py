"""The composition root of the gateway: from a configuration to the parts of a running one.

Refuses to start where the upstream does not prove that it steers with the gateway's bundles.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from breakers.bundles import Bundle
from breakers.scoring import HarmScorer
from classifiers.base import HarmClassifier
from server.access.access import Access
from server.audit import AuditLog
from server.composition import bundle_references, load_bundles, model_path
from server.config import ServerConfig
from server.deploying import plan_bundles
from server.errors import ConfigError
from server.gateway.errors import UnprovenError, UpstreamUnavailableError
from server.gateway.proof import Proven, WantedUpstream, prove
from server.gateway.state import GatewayParts, GatewayState, assemble_gateway
from server.gateway.supervised.command import SupervisedSettings, check_arguments, interpreter
from server.gateway.supervised.server import SupervisedServer
from server.gateway.upstream import Upstream, UpstreamAddress
from server.generation.limits import GenerationLimits
from server.parts import NONE, access_of, audit_of, classifier_of, tracing_of, warn_of_foreign_gates
from server.policy.loading import load_policy
from server.policy.policy import Policy
from server.reloading import prepare_reloads

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_SAYS_EVERY_SECONDS = 15.0
"""Between two lines that say what is waited for."""


@contextmanager
def built_gateway(config: ServerConfig) -> Iterator[GatewayState]:
    """Everything that `config` asks for, loaded, checked and proved. A supervised vLLM lives as long as the block.

    Raises:
        ConfigError: the parts do not fit each other, or the upstream does not prove itself in time.
        BreakersError: a bundle cannot be read or trusted.
        ClassifiersError: the classifier or the scorer cannot be built.
    """
    # Before vLLM: what is refused is refused at once.
    bundles = _bundles(config)
    parts = _parts_before(config)
    if config.upstream.url is not None:
        address = _address_of_running(config)
        yield _finished(config, parts, bundles, address, None)
        return
    with SupervisedServer(_supervised(config, bundles)) as server:
        address = UpstreamAddress(
            url="http://vllm",
            socket_file=server.socket_file,
            connect_seconds=config.upstream.connect_seconds,
            requests=config.upstream.requests,
        )
        yield _finished(config, parts, bundles, address, server)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Early:
    """What can be refused before the upstream is asked."""

    access: Access
    audit: AuditLog
    policy: Policy | None
    classifier: HarmClassifier | None


def _parts_before(config: ServerConfig) -> _Early:
    return _Early(
        access=access_of(config),
        audit=audit_of(config),
        policy=None if config.policy is None else load_policy(config.policy),
        classifier=classifier_of(config),
    )


def _finished(
    config: ServerConfig,
    early: _Early,
    bundles: tuple[Bundle, ...],
    address: UpstreamAddress,
    server: SupervisedServer | None,
) -> GatewayState:
    wanted = WantedUpstream(
        bundles=bundles,
        model=None if server is None else config.name,
        accepted=frozenset(config.accept_base_mismatch),
    )
    # Before the proof, which may take as long as vLLM takes to start.
    plan_bundles({bundle.name: bundle for bundle in bundles}, classifier=early.classifier, policy=early.policy)
    proven = asyncio.run(_proof(address, wanted, server, seconds=config.upstream.start_seconds))
    if server is not None:
        server.keep_running()
    state = assemble_gateway(
        GatewayParts(
            address=address,
            wanted=replace(wanted, model=proven.model),
            proven=proven,
            served_name=config.served_model_name,
            starts=(lambda: 0) if server is None else (lambda: server.starts),
            check_seconds=config.upstream.check_seconds,
            classifier=early.classifier,
            classifier_timeout_seconds=config.classifier.timeout_seconds,
            scorer=_scorer(config),
            scoring_rate=config.output_scoring.rate,
            body_limit=config.body_limit,
            policy=early.policy,
            policy_file=config.policy,
            access=early.access,
            audit=early.audit,
            limits=GenerationLimits(
                max_tokens=config.limits.max_tokens, request_seconds=config.limits.request_seconds
            ),
            tracing=tracing_of(config),
        )
    )
    prepare_reloads(state)
    warn_of_foreign_gates(bundles, early.classifier)
    _log_start(config, state, proven)
    return state


async def _proof(
    address: UpstreamAddress, wanted: WantedUpstream, server: SupervisedServer | None, *, seconds: float
) -> Proven:
    """Wait until the upstream is there and has proved itself.

    Raises:
        ConfigError: it would not do what is reported, ended, or is not there in time.
    """
    loop = asyncio.get_running_loop()
    end, said = loop.time() + seconds, -_SAYS_EVERY_SECONDS
    async with Upstream(address) as upstream:
        while True:
            try:
                return await prove(upstream, wanted)
            except UnprovenError as error:
                raise ConfigError(str(error)) from error
            except UpstreamUnavailableError as error:
                if server is not None and server.ended:
                    raise ConfigError(f"vLLM's server ended before it served{server.last_lines}") from error
                if loop.time() >= end:
                    raise ConfigError(f"{error}; it was waited for {seconds:g} s") from error
                if loop.time() - said >= _SAYS_EVERY_SECONDS:
                    said = loop.time()
                    logger.info("waiting for the upstream: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)


def _bundles(config: ServerConfig) -> tuple[Bundle, ...]:
    """The bundles that vLLM is to have.

    Raises:
        BundleError: one cannot be read or trusted.
        ConfigError: a mismatch is accepted for one that is not there.
    """
    bundles = load_bundles(bundle_references(config), pinned=config.require_pinned_bundles)
    unknown = sorted(set(config.accept_base_mismatch) - {bundle.name for bundle in bundles})
    if unknown:
        named = ", ".join(bundle.name for bundle in bundles) or "none"
        raise ConfigError(f"a base mismatch is accepted for {', '.join(unknown)}, but named bundles are: {named}")
    return bundles


def _supervised(config: ServerConfig, bundles: tuple[Bundle, ...]) -> SupervisedSettings:
    check_arguments(config.upstream.arguments)
    given = config.engine.model_fields_set
    return SupervisedSettings(
        python=interpreter(config.upstream.python),
        model=model_path(config),
        served_name=config.name,
        # vLLM opens them itself, from wherever it is started.
        bundles=[bundle.source if bundle.commit else os.path.abspath(bundle.source) for bundle in bundles],
        accept_base_mismatch=config.accept_base_mismatch,
        dtype=config.engine.dtype if "dtype" in given else None,
        max_model_len=config.engine.max_model_len,
        max_num_seqs=config.engine.slots if "slots" in given else None,
        arguments=config.upstream.arguments,
    )


def _address_of_running(config: ServerConfig) -> UpstreamAddress:
    section = config.upstream
    key = None
    if section.api_key_variable is not None:
        key = os.environ.get(section.api_key_variable)
        if not key:
            raise ConfigError(
                f"upstream.api_key_variable names {section.api_key_variable}, which is not set; wanted the key that "
                "vLLM's server asks for"
            )
    return UpstreamAddress(
        url=str(section.url).rstrip("/").removesuffix("/v1"),
        api_key=key,
        connect_seconds=section.connect_seconds,
        requests=section.requests,
    )


def _scorer(config: ServerConfig) -> HarmScorer | None:
    name = config.output_scoring.scorer
    if name is None or name == NONE:
        return None
    from classifiers.scorers import build_scorer

    return build_scorer(name)


def _log_start(config: ServerConfig, state: GatewayState, proven: Proven) -> None:
    logger.info("upstream: %s serves %s", state.upstream.address.shown, proven.model)
    logger.info("served as: %s", state.names.base)
    for result in proven.results:
        logger.info("proof: %s: %s", result.name, result.detail)
    if not state.deployments.current.bundles:
        logger.warning("bundles: none; everything is served unsteered")
    logger.info("classifier: %s", NONE if state.classifier is None else state.classifier.classifier.name)
    logger.info("output scoring: %s", NONE if state.outputs is None else state.outputs.scorer.name)
    keys = state.access.keys
    if keys is not None:
        logger.info("keys: %d from %s", len(keys.ring.records), keys.path)
    elif config.insecure_no_keys:
        logger.warning("keys: none; whoever reaches %s may use the model (--insecure-no-keys)", config.host)
    policy = state.deployments.current.planner.policy
    logger.info("policy: %s", NONE if state.policy_file is None else f"{policy.digest} from {policy.source}")
