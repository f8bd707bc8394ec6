"""Made-up bundles for tiny models: values, not files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.bank import Scope
from breakers.bundles import BaseManifest, Bundle, BundleManifest, CanaryManifest, GateManifest
from breakers.bundles.canary import measure_canary
from breakers.bundles.store import describe_interventions
from breakers.interventions import Breaker, Intervention, Mask
from breakers.sites import Component, Site

GATE = GateManifest(alpha_base=1.0, w=12.0, b=-4.0, p_off=0.1, classifier="stub:1")
NO_HASH = "sha256:" + "0" * 64
D_HEAD = 8
"""Of `tiny.tiny_config`: 32 wide, 4 heads."""


def made_up_bundle(
    name: str,
    intervention: Intervention,
    *,
    gate: GateManifest | None = GATE,
    strength_max: float = 1.0,
    category: str | None = None,
    fingerprint: str = NO_HASH,
    scope: Scope = Scope.ALL,
) -> Bundle:
    """A bundle around one intervention."""
    declared, _ = describe_interventions([intervention])
    manifest = BundleManifest(
        format=1,
        name=name,
        behaviour=name,
        category=category or name,
        description=f"made up: {name}",
        scope=scope,
        interventions=declared,
        base=BaseManifest(id="tiny", fingerprint=fingerprint),
        gate=gate,
        strength_max=strength_max,
        dose_p95=0.2,
        canary=CanaryManifest(token_ids=[5, 6], logit_ids=[1], change=[0.5]),
        made_from={},
        licence="Apache-2.0",
        metrics=[],
        command="made up",
        weights_sha256=NO_HASH,
    )
    return Bundle(manifest=manifest, interventions=(intervention,), source="made up")


def breaker(layer: int = 1, head: int = 2, scale: float = 3.0, seed: int = 0) -> Breaker:
    """A random breaker that visibly changes a tiny model."""
    generator = torch.Generator().manual_seed(seed)
    site = Site(layer=layer, component=Component.HEAD, head=head)
    return Breaker(
        site=site,
        down=torch.randn(2, D_HEAD, generator=generator),
        up=scale * torch.randn(D_HEAD, 2, generator=generator),
    )


def mask(layer: int = 2) -> Mask:
    """Prunes all of a head."""
    return Mask(site=Site(layer=layer, component=Component.HEAD, head=0), keep=torch.zeros(D_HEAD))


def with_canaries(bundles: Sequence[Bundle], model: PreTrainedModel) -> tuple[Bundle, ...]:
    """The same bundles with canaries that hold on a model: its self-test passes."""
    sites = resolve_sites(model)

    def measured(bundle: Bundle) -> Bundle:
        canary = measure_canary(model, sites, bundle.bank_entry(), [7, 8, 9, 10])
        return replace(bundle, manifest=bundle.manifest.model_copy(update={"canary": canary}))

    return tuple(measured(bundle) for bundle in bundles)


def three_bundles(fingerprint: str = NO_HASH) -> tuple[Bundle, ...]:
    """Two with gates, and a mask without one."""
    return (
        made_up_bundle("toxicity", breaker(), fingerprint=fingerprint),
        made_up_bundle("gender_bias", breaker(layer=0, head=1, seed=1), strength_max=2.0, fingerprint=fingerprint),
        made_up_bundle("myth_mask", mask(), gate=None, category="misinformation", fingerprint=fingerprint),
    )
