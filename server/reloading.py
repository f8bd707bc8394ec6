"""Reading the policy and the keys again while the server serves: the new one holds whole, or the old one stays."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from server.access.access import Access
from server.access.key_store import KeyStore
from server.access_metrics import AccessFile
from server.audit import Action, AuditEntry, AuditLog
from server.deployment import Deployments
from server.errors import AuditFailedError, ConfigError
from server.lifecycle import Lifecycle
from server.metrics import Metrics
from server.policy.loading import load_policy
from server.policy.planner import Planner
from server.policy.policy import Policy

logger = logging.getLogger(__name__)


class Reloadable(Protocol):
    """What of a server's state is read again."""

    @property
    def access(self) -> Access: ...

    @property
    def audit(self) -> AuditLog: ...

    @property
    def deployments(self) -> Deployments: ...

    @property
    def lifecycle(self) -> Lifecycle: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def policy_file(self) -> Path | None: ...


def prepare_reloads(state: Reloadable) -> None:
    """Have keys and policy read again when the process is told to."""
    keys = state.access.keys
    if keys is not None:
        # Before the policy, which may have rules for new keys.
        state.lifecycle.on_reload("the file of API keys", lambda: reload_keys(state))
    if state.policy_file is not None:
        state.lifecycle.on_reload("the policy", lambda: reload_policy(state))
        warn_of_unknown_keys(state.deployments.current.planner.policy, keys)


def reload_policy(state: Reloadable) -> None:
    """Read the policy file again, check all of it against the loaded bundles, audit that, and only then plan with it.

    Requests in flight keep the plan that they have. Runs on the event loop and does not leave it, so nothing comes
    between reading the deployment and replacing it. Without a policy file it does nothing.

    Raises:
        ConfigError: the file is not a policy for these bundles. The old one stays; logged and counted.
        AuditFailedError: the change could not be audited. The old one stays; logged and counted.
    """
    if state.policy_file is None:
        return
    try:
        deployment = state.deployments.current
        policy = load_policy(state.policy_file)
        planner = Planner(deployment.planner.bundles.values(), policy)
        _audit(state, deployment.planner.policy, policy)
    except (ConfigError, AuditFailedError) as error:
        state.metrics.access.reloaded(AccessFile.POLICY, done=False)
        logger.error("the policy of before stays in force: %s", error)
        raise
    state.deployments.replace(replace(deployment, planner=planner))
    state.metrics.access.reloaded(AccessFile.POLICY, done=True)
    logger.info("policy: %s read from %s", policy.digest, state.policy_file)
    warn_of_unknown_keys(policy, state.access.keys)


def reload_keys(state: Reloadable) -> None:
    """Read the file of keys again. Without one it does nothing.

    Raises:
        ConfigError: the file cannot be read or trusted. The old keys stay; logged and counted.
    """
    if state.access.keys is not None:
        state.access.keys.reload()


def warn_of_unknown_keys(policy: Policy, keys: KeyStore | None) -> None:
    """Say which entries of a policy are for keys that do not exist: they may come later, or be misspelt."""
    records = () if keys is None else keys.ring.records.values()
    known = {record.id for record in records} | {record.label for record in records}
    unknown = sorted(set(policy.settings.keys) - known)
    if unknown:
        logger.warning("%s has rules for keys that do not exist (yet): %s", policy.source, ", ".join(unknown))


def _audit(state: Reloadable, before: Policy, after: Policy) -> None:
    entry = AuditEntry(
        action=Action.POLICY_RELOAD,
        subject=str(state.policy_file),
        before={"policy": before.digest},
        after={"policy": after.digest},
    )
    try:
        state.audit.record(entry)
    except AuditFailedError:
        state.metrics.access.audit_failed()
        raise
