"""Changes of bundles in the audit log."""

from __future__ import annotations

from server.access_metrics import AccessMetrics
from server.audit import AuditLog, audit_breaker_changes
from server.bundles.manager import Audit, Summary
from server.errors import AuditFailedError


def audited(log: AuditLog, metrics: AccessMetrics) -> Audit:
    """What a bundle manager tells of its changes; a change that cannot be written down is counted and not made."""
    write = audit_breaker_changes(log)

    def tell(action: str, before: Summary | None, after: Summary | None) -> None:
        try:
            write(action, before, after)
        except AuditFailedError:
            metrics.audit_failed()
            raise

    return tell
