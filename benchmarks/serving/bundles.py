"""The bundles of the benchmark: steering at 8 heads, and four breakers of rank 4, made at random.

They are spread over the layers as far apart as there is room, which is the dearest way to place them: every layer
that is touched at all costs its own update.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.bundles import BaseManifest, Bundle, BundleManifest, CanaryManifest, save_bundle
from breakers.bundles.canary import measure_canary
from breakers.fingerprint import fingerprint_model
from breakers.interventions import Breaker, Intervention, SteeringVector
from breakers.sites import Component, Site

HEADS = 8
BREAKERS = 4
RANK = 4
VECTOR_NORM = 0.25
"""Of a steering vector at strength 1, as a share of the square root of d_head."""
UPDATE_GAIN = 1.0
"""Of a breaker at strength 1: about how long its change is, as a share of the activation."""
CANARY_TOKENS = tuple(range(3, 19))
_UNWRITTEN = "sha256:" + "0" * 64


def save_benchmark_bundles(model: Any, folder: Path) -> tuple[Bundle, ...]:
    """Make the bundles for a model, seeded, and write them to `folder`: one that steers, and one a breaker."""
    made = [("steering", steering_vectors(model.config)), *_breakers(model.config)]
    fingerprint, sites = fingerprint_model(model), resolve_sites(model)

    def save(name: str, interventions: Sequence[Intervention]) -> Bundle:
        entry = BankEntry(name=name, scope=Scope.GENERATION, interventions=tuple(interventions))
        canary = measure_canary(model, sites, entry, CANARY_TOKENS)
        return _save(entry, fingerprint, canary, folder / name)

    return tuple(save(name, interventions) for name, interventions in made)


def steering_vectors(config: Any) -> list[Intervention]:
    """One vector at each of `HEADS` heads."""
    return [
        SteeringVector(site=site, vector=_normal((_width(config),), seed) * VECTOR_NORM)
        for seed, site in enumerate(_sites(config, HEADS, first_layer=0))
    ]


def _breakers(config: Any) -> list[tuple[str, list[Intervention]]]:
    width = _width(config)
    return [
        (
            f"breaker-{n}",
            [
                Breaker(
                    site=site,
                    down=_normal((RANK, width), 100 + n) / width**0.5,
                    up=_normal((width, RANK), 200 + n) * UPDATE_GAIN / RANK**0.5,
                )
            ],
        )
        for n, site in enumerate(_sites(config, BREAKERS, first_layer=1))
    ]


def _sites(config: Any, count: int, first_layer: int) -> list[Site]:
    layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    return [
        Site(
            layer=(first_layer + n * layers // count) % layers,
            component=Component.HEAD,
            head=(first_layer + 3 * n) % heads,
        )
        for n in range(count)
    ]


def _width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _normal(shape: tuple[int, ...], seed: int) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _save(entry: BankEntry, fingerprint: str, canary: CanaryManifest, path: Path) -> Bundle:
    manifest = BundleManifest.model_construct(
        format=1,
        name=entry.name,
        behaviour=entry.name,
        category=entry.name,
        description="Random; for measuring speed.",
        scope=entry.scope,
        interventions=[],
        base=BaseManifest(id="benchmark", fingerprint=fingerprint),
        gate=None,
        strength_max=1.0,
        dose_p95=0.0,
        canary=canary,
        made_from={},
        licence="Apache-2.0",
        metrics=[],
        command="python -m benchmarks.serving",
        weights_sha256=_UNWRITTEN,
    )
    return save_bundle(manifest, entry.interventions, path)
