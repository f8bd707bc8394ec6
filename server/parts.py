"""Parts of a server that do not depend on what runs the model: who comes in, what judges, where traces go."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from breakers.bundles import Bundle
from classifiers import build_classifier
from classifiers.base import HarmClassifier
from server.access.access import Access
from server.access.caller import ANYONE, LOCAL
from server.access.key_store import KeyStore
from server.audit import AuditFile, AuditLog, ServerLogAudit
from server.config import ServerConfig
from server.tracing import NO_TRACING, Tracing, otlp_tracing

logger = logging.getLogger(__name__)

NONE = "none"
"""The word for "no such part" in a configuration."""


def access_of(config: ServerConfig) -> Access:
    """Who may come in.

    Raises:
        ConfigError: the file of keys cannot be read or trusted.
    """
    if config.keys is not None:
        return Access(keys=KeyStore(config.keys), metrics_need_key=config.metrics_need_key)
    return Access(anonymous=ANYONE if config.insecure_no_keys else LOCAL)


def audit_of(config: ServerConfig) -> AuditLog:
    """Where overrides and admin changes are written."""
    return ServerLogAudit() if config.audit_log is None else AuditFile(config.audit_log, fsync=config.audit_fsync)


def classifier_of(config: ServerConfig) -> HarmClassifier | None:
    """What reads harm potentials; None for nothing.

    Raises:
        ClassifiersError: it cannot be built.
    """
    if config.classifier.member == NONE:
        return None
    return build_classifier(config.classifier.member, path=config.classifier.path)


def tracing_of(config: ServerConfig) -> Tracing:
    """Where traces go.

    Raises:
        ConfigError: the extra for it is not installed.
    """
    section = config.tracing
    if section.exporter == NONE:
        return NO_TRACING
    return otlp_tracing(endpoint=section.endpoint, service_name=section.service_name, ratio=section.ratio)


def warn_of_foreign_gates(bundles: Sequence[Bundle], classifier: HarmClassifier | None) -> None:
    """Say which gates read another classifier than they were fitted on."""
    for bundle in bundles:
        gate = bundle.manifest.gate
        if gate is not None and classifier is not None and gate.classifier != classifier.name:
            logger.warning(
                "the gate of %s was fitted on classifier %s, and %s is loaded",
                bundle.name,
                gate.classifier,
                classifier.name,
            )
