"""Changes of bundles in the audit log."""

from __future__ import annotations

from server.access_metrics import AccessMetrics
from server.audit import Action, AuditEntry, AuditLog
from server.bundles.manager import Audit, Summary
from server.errors import AuditFailedError
from server.logs import REQUEST

_ACTIONS = {
    "breaker.add": Action.BREAKER_ADDED,
    "breaker.reload": Action.BREAKER_RELOADED,
    "breaker.remove": Action.BREAKER_REMOVED,
    "breaker.switch": Action.BREAKER_CHANGED,
}


def audited(log: AuditLog, metrics: AccessMetrics) -> Audit:
    """What a bundle manager tells of its changes; a change that cannot be written down is not made."""

    def tell(action: str, before: Summary | None, after: Summary | None) -> None:
        request = REQUEST.get()
        subject = (after or before or {}).get("breaker", "")
        entry = AuditEntry(
            action=_ACTIONS[action],
            subject=str(subject),
            request_id=None if request is None else request.request_id,
            key_id=None if request is None else request.key_id,
            before=before or {},
            after=after or {},
        )
        try:
            log.record(entry)
        except AuditFailedError:
            metrics.audit_failed()
            raise

    return tell
