"""Bundles, callers and policies for tests of the planner."""

from __future__ import annotations

from typing import Any

from breakers.gate import Gate
from breakers.plan import Plan
from server.access.caller import AccessScope, Caller
from server.policy.bundles import PlannedBundle
from server.policy.planner import Planner
from server.policy.policy import Policy
from server.policy.settings import PolicySettings
from server.policy.wishes import Wishes

TOXICITY = PlannedBundle(
    name="tox",
    kind="breaker",
    behaviour="b",
    category="toxicity",
    gate=Gate(alpha_base=1.0, w=12.0, b=-4.0, p_off=0.1),
    strength_max=2.0,
    dose_p95=0.2,
)
HALF = PlannedBundle(
    name="half",
    kind="steering",
    behaviour="b",
    category="bias",
    gate=Gate(alpha_base=0.5, w=0.0, b=100.0),
    strength_max=1.0,
    dose_p95=0.5,
)
MASK = PlannedBundle(
    name="mask", kind="mask", behaviour="b", category="myths", gate=None, strength_max=1.0, dose_p95=0.3
)
BUNDLES = (TOXICITY, HALF, MASK)
NAMES = tuple(bundle.name for bundle in BUNDLES)

CHAT = Caller(key_id="a" * 12, scopes=frozenset({AccessScope.CHAT}), label="front")
TRUSTED = Caller(key_id="b" * 12, scopes=frozenset({AccessScope.CHAT, AccessScope.OVERRIDE}), label="research")
HARMFUL = {"toxicity": 1.0, "bias": 0.9}
HARMLESS = {"toxicity": 0.0, "bias": 0.0}


def planner(**settings: Any) -> Planner:
    """The made-up bundles under a policy written as in its file."""
    return Planner(BUNDLES, Policy(settings=PolicySettings.model_validate(settings), source="policy.yaml"))


def applied(plan: Plan) -> dict[str, tuple[float, str]]:
    """Strength and reason by bundle."""
    return {name: (entry.strength, entry.reason.value) for name, entry in plan.entries.items()}


def tox(rules: dict[str, Any], potentials: dict[str, float] | None = HARMLESS, **wishes: Any) -> tuple[float, str]:
    """What the first bundle gets under rules of its own."""
    return applied(planner(bundles={"tox": rules}).plan(Wishes(**{"caller": CHAT} | wishes), potentials))["tox"]
