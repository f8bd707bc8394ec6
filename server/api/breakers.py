"""GET /v1/breakers: what is loaded, and what each bundle declares about itself."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from breakers.bank import Scope
from breakers.bundles import Bundle, GateManifest, MetricManifest
from server.deployment import Deployment, Deployments
from server.errors import UnknownBreakerError
from server.policy.planner import PlannedBundle


class BreakerCard(BaseModel):
    """One loaded bundle."""

    name: str
    """What requests call it in `scalpel.breakers`."""
    object: Literal["breaker"] = "breaker"
    """What this is."""
    kind: str
    """`breaker`, `steering`, `mask` or `mixed`."""
    behaviour: str
    """What it edits away."""
    category: str
    """The harm potential that drives the gate."""
    description: str
    """By whoever made it."""
    scope: Scope
    """Which tokens it edits: `all`, or from the end of the prompt on."""
    sites: list[str]
    """Where it acts, one line each."""
    gate: GateManifest | None
    """From harm potential to strength; null where it acts only when asked."""
    enabled: bool
    """Whether it acts in requests that do not ask for it; switched by `PATCH`."""
    default: Literal["gate", "off"]
    """What holds where a request says nothing."""
    strength_max: float
    """The highest strength that a request can ask for."""
    dose_p95: float
    """Change over activation, by their norms, at strength 1: the 95th percentile over calibration prompts."""
    metrics: list[MetricManifest]
    """What its maker measured."""
    base: str
    """Id of the model that it was made on."""
    licence: str
    """Of the bundle."""
    source: str | None
    """`hf://owner/name@commit`, for a bundle from the Hub; the server's directories are its own business."""

    @classmethod
    def of(cls, bundle: Bundle, planned: PlannedBundle) -> BreakerCard:
        """The card of a loaded bundle."""
        manifest = bundle.manifest
        return cls(
            name=bundle.name,
            kind=bundle.kind,
            behaviour=manifest.behaviour,
            category=manifest.category,
            description=manifest.description,
            scope=manifest.scope,
            sites=[str(intervention.site) for intervention in bundle.interventions],
            gate=manifest.gate,
            enabled=planned.enabled,
            default="gate" if manifest.gate is not None and planned.enabled else "off",
            strength_max=planned.highest,
            dose_p95=manifest.dose_p95,
            metrics=manifest.metrics,
            base=manifest.base.id,
            licence=manifest.licence,
            source=None if bundle.commit is None else bundle.source,
        )


class BreakerList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    """What this is."""
    bank_version: int
    """Grows whenever bundles are loaded or unloaded."""
    data: list[BreakerCard]
    """One card a bundle."""

    @classmethod
    def of(cls, deployment: Deployment) -> BreakerList:
        """Of what is deployed."""
        planned = deployment.planner.bundles
        cards = [BreakerCard.of(bundle, planned[name]) for name, bundle in deployment.bundles.items()]
        return cls(bank_version=deployment.bank_version, data=cards)


def breakers_router(deployments: Deployments) -> APIRouter:
    """The breakers area."""
    router = APIRouter(tags=["breakers"])

    @router.get("/v1/breakers")
    async def list_breakers() -> BreakerList:
        """Every loaded bundle."""
        return BreakerList.of(deployments.current)

    @router.get("/v1/breakers/{name}")
    async def show_breaker(name: str) -> BreakerCard:
        """One of them."""
        deployment = deployments.current
        if name not in deployment.bundles:
            loaded = ", ".join(sorted(deployment.bundles)) or "none"
            raise UnknownBreakerError(f"no breaker {name!r} is loaded; loaded: {loaded}", code="unknown_breaker")
        return BreakerCard.of(deployment.bundles[name], deployment.planner.bundles[name])

    return router
