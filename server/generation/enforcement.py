"""Policy at work on one server: what it decides is counted, audited before it is done, and paid for."""

from __future__ import annotations

import asyncio

from server.access.rates import RateLimiter
from server.access_metrics import AccessMetrics
from server.audit import Action, Actor, AuditEntry, AuditLog
from server.errors import AuditFailedError, RateLimitedError
from server.generation.context import RequestContext
from server.policy.decisions import Decision, Potentials
from server.policy.overrides import Override, OverrideForbiddenError
from server.policy.planner import Planner
from server.policy.policy import RateLimits
from server.policy.wishes import Wishes


class Enforcement:
    """Joins the pure decisions with what they have to leave behind."""

    def __init__(self, *, rates: RateLimiter, audit: AuditLog, metrics: AccessMetrics) -> None:
        self._rates = rates
        self._audit = audit
        self._metrics = metrics

    async def allow(self, planner: Planner, wishes: Wishes, context: RequestContext) -> None:
        """Refuse what this caller may not ask for.

        Raises:
            PermissionDeniedError: as `Planner.allow`.
        """
        try:
            planner.allow(wishes)
        except OverrideForbiddenError as refusal:
            for override in refusal.overrides:
                self._metrics.override_refused(override)
                await self._note_refusal(override, context)
            raise

    async def decide(
        self, planner: Planner, wishes: Wishes, potentials: Potentials, context: RequestContext
    ) -> Decision:
        """Plan one request, and audit what it overrides.

        Raises:
            PermissionDeniedError, ClassifierRequiredError: as `Planner.decide`.
            AuditFailedError: an override could not be audited; the request must not run.
        """
        decision = planner.decide(wishes, potentials)
        for override in decision.overrides:
            await self._record(_entry(Action.OVERRIDE, override, context))
            self._metrics.overridden(override)
        self._metrics.shadowed(decision.shadow)
        return decision

    def take_prompt(self, planner: Planner, context: RequestContext, tokens: int) -> None:
        """Take a prompt's tokens from the caller's rate.

        Raises:
            RateLimitedError: not so many are left.
        """
        caller = context.caller
        try:
            self._rates.take_prompt(caller.key_id, planner.policy.rates(caller), tokens)
        except RateLimitedError as refusal:
            self._metrics.rate_limited(refusal.limit)
            raise

    def spend(self, limits: RateLimits, context: RequestContext, tokens: int) -> None:
        """Take a reply's tokens from the caller's rate, whose limits are known."""
        self._rates.spend(context.caller.key_id, limits, tokens)

    async def _note_refusal(self, override: Override, context: RequestContext) -> None:
        try:
            await self._record(_entry(Action.OVERRIDE_REFUSED, override, context))
        except AuditFailedError:
            # Logged and counted; the request is refused with or without the entry.
            return

    async def _record(self, entry: AuditEntry) -> None:
        try:
            # Waiting for the disk must not hold up other requests.
            await asyncio.to_thread(self._audit.record, entry)
        except AuditFailedError:
            self._metrics.audit_failed()
            raise


def _entry(action: Action, override: Override, context: RequestContext) -> AuditEntry:
    return AuditEntry(
        action=action,
        subject=override.bundle,
        actor=Actor(request_id=context.request_id, key_id=context.caller.key_id),
        before={"floor": override.floor},
        after={"strength": override.asked, "reason": override.reason.value},
    )
