"""From a request to its plan: the order of DESIGN section 4, with what vLLM's server knows left to it.

Nothing goes on with a plan that was not made here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from breakers.plan import Plan
from classifiers.base import Conversation
from server.deployment import Deployment, Deployments
from server.errors import InvalidRequestError
from server.gateway.body import LENGTHS, GatewayBody
from server.gateway.reading import Reading
from server.generation.context import RequestContext
from server.generation.enforcement import Enforcement
from server.generation.limits import GenerationLimits
from server.generation.report import AppliedReport, Report, ShadowReport
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.logs import REQUEST
from server.metrics import ClassifierFailure, Metrics
from server.policy.decisions import Potentials, Shadowed
from server.policy.planner import Wishes
from server.policy.policy import RateLimits
from server.policy.profiles import ServedNames, settle_profile
from server.tracing.base import Tracing, spanned


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """A request that may go on, with its plan."""

    context: RequestContext
    deployment: Deployment
    plan: Plan
    prompts: Sequence[Conversation]
    """Each prompt as scorers read it."""
    harm_potential: Mapping[str, float]
    shadow: Mapping[str, Shadowed]
    rates: RateLimits
    """What of the caller's is limited."""

    @property
    def behaviours(self) -> frozenset[str]:
        """What the acting bundles edit away."""
        bundles = self.deployment.planner.bundles
        return frozenset(bundles[name].behaviour for name in self.plan.strengths())

    def report(self) -> Report:
        """What the response says of it. How many tokens were steered only vLLM could tell, and it does not."""
        bundles = self.deployment.planner.bundles
        applied: dict[str, AppliedReport | ShadowReport] = {
            name: AppliedReport(strength=entry.strength, kind=bundles[name].kind, reason=entry.reason.value)
            for name, entry in self.plan.entries.items()
        }
        for name, would in self.shadow.items():
            applied[name] = ShadowReport.of(bundles[name].kind, would)
        potentials = {name: round(p, 4) for name, p in self.harm_potential.items()}
        return Report(harm_potential=potentials, applied=applied, plan=self.plan.digest, tokens_steered=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlanning:
    """What it takes to plan requests."""

    deployments: Deployments
    names: ServedNames
    metrics: Metrics
    classifier: HarmPotential | None
    enforcement: Enforcement
    limits: GenerationLimits
    tracing: Tracing

    async def allow(self, body: GatewayBody, context: RequestContext) -> Wishes:
        """What the request asks of the breakers, refused where it may not; before any of it is read.

        Raises:
            RequestError: it cannot be served as asked, or not to this caller.
        """
        planner = self.deployments.acquire(context.request_id).planner
        named = self.names.profile(self.names.base if body.model is None else body.model)
        options = body.options
        wishes = Wishes(
            profile=settle_profile(options.profile, context.profile_header, named),
            toggles=dict(options.breakers),
            caller=context.caller,
            user=body.user if isinstance(body.user, str) else None,
        )
        planner.check(wishes.toggles)
        self.reply_limit(body)
        await self.enforcement.allow(planner, wishes, context)
        # One token at the least; the rest is paid when vLLM has counted them.
        self.enforcement.take_prompt(planner, context, 1)
        return wishes

    async def plan(self, wishes: Wishes, reading: Reading, context: RequestContext) -> PlannedRequest:
        """Classify and plan.

        Raises:
            RequestError, ClassifierRequiredError, AuditFailedError: it must not be served.
        """
        deployment = self.deployments.acquire(context.request_id)
        with spanned(self.tracing, "classify"):
            potentials = await self._classify(reading)
        with spanned(self.tracing, "plan") as span:
            decision = await self.enforcement.decide(deployment.planner, wishes, potentials, context)
            span.set("scalpel.plan", decision.plan.digest)
        self.metrics.planned(decision.plan)
        record = REQUEST.get()
        if record is not None:
            record.plan = decision.plan.digest
        return PlannedRequest(
            context=context,
            deployment=deployment,
            plan=decision.plan,
            prompts=reading.prompts,
            harm_potential=potentials or {},
            shadow=decision.shadow,
            rates=deployment.planner.policy.rates(context.caller),
        )

    def reply_limit(self, body: GatewayBody) -> int | None:
        """Tokens that a reply gets where the request names no number; None to leave it to vLLM.

        Raises:
            InvalidRequestError: it asks for more than the operator lets it, or for what is no number.
        """
        limit = self.limits.max_tokens
        if limit is None:
            return None
        asked = {name: body.field(name) for name in LENGTHS if body.field(name) is not None}
        for name, value in asked.items():
            if type(value) is not int or value > limit:
                raise InvalidRequestError(
                    f"{name} is {str(value)[:40]}; wanted a whole number of at most {limit} on this server",
                    param=name,
                    code="invalid_value",
                )
        return None if asked else limit

    async def _classify(self, reading: Reading) -> Potentials:
        """The highest harm potential of each category; None where it is not known."""
        if self.classifier is None:
            return {}
        began = time.perf_counter()
        try:
            if not reading.whole:
                raise ClassifierFailedError(ClassifierFailure.NO_TEXT)
            scores = await self._scores(self.classifier, reading.conversations)
        except ClassifierFailedError as failure:
            self.metrics.classifier_failed(failure.reason)
            return None
        potentials = {category: max(score[category] for score in scores) for category in scores[0]}
        self.metrics.classified(potentials, time.perf_counter() - began)
        return potentials

    async def _scores(
        self, classifier: HarmPotential, conversations: Sequence[Conversation]
    ) -> list[dict[str, float]]:
        return [await classifier.score(conversation) for conversation in conversations]
