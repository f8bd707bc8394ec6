"""A good bundle on disk, and ways to damage it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from breakers.bank import Scope
from breakers.bundles import (
    BaseManifest,
    Bundle,
    BundleManifest,
    CanaryManifest,
    GateManifest,
    MetricManifest,
    save_bundle,
)
from breakers.bundles.store import describe_interventions
from breakers.interventions import Breaker, Intervention, Mask, SteeringVector
from breakers.sites import Component, Site

NOTHING = "sha256:" + "0" * 64


def interventions() -> tuple[Intervention, ...]:
    """One of each kind, at each component."""
    random = torch.Generator().manual_seed(3)
    head = Site(layer=1, component=Component.HEAD, head=2)
    return (
        Breaker(site=head, down=torch.randn(2, 8, generator=random), up=torch.randn(8, 2, generator=random)),
        SteeringVector(site=Site(layer=2, component=Component.RESID), vector=torch.randn(32, generator=random)),
        Mask(site=Site(layer=0, component=Component.NEURON, neurons=(1, 4)), keep=torch.tensor([0.0, 0.5])),
    )


def manifest_of(acting: tuple[Intervention, ...], **changes: Any) -> BundleManifest:
    """A manifest that declares `acting`."""
    declared, _ = describe_interventions(acting)
    fields: dict[str, Any] = {
        "format": 1,
        "name": "calm",
        "behaviour": "toxicity",
        "category": "toxicity",
        "description": "made up",
        "scope": Scope.GENERATION,
        "interventions": declared,
        "base": BaseManifest(id="tiny", fingerprint=NOTHING),
        "gate": GateManifest(alpha_base=1.0, w=10.0, b=-3.0, p_off=0.1, classifier="lexical"),
        "strength_max": 1.0,
        "dose_p95": 0.25,
        "canary": CanaryManifest(token_ids=[3, 4], logit_ids=[1, 2], change=[0.5, -0.5]),
        "made_from": {"pairs": NOTHING},
        "licence": "Apache-2.0",
        "metrics": [MetricManifest(name="harm", value=0.5, low=0.25, high=0.75, n=8)],
        "command": "pytest",
        "weights_sha256": NOTHING,
    }
    return BundleManifest(**(fields | changes))


def save_good(path: Path, **changes: Any) -> Bundle:
    """Write the good bundle."""
    return save_bundle(manifest_of(interventions(), **changes), interventions(), path, card="# calm\n")


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest as JSON."""
    manifest = json.loads((path / "bundle.json").read_text())
    change(manifest)
    (path / "bundle.json").write_text(json.dumps(manifest))


def rewrite(path: Path, old: str, new: str) -> None:
    """Change the manifest as text."""
    text = (path / "bundle.json").read_text()
    assert old in text
    (path / "bundle.json").write_text(text.replace(old, new, 1))


def rehash(path: Path, data: bytes) -> None:
    """Replace the weights, and declare the new hash: as one does who can write both files."""
    (path / "weights.safetensors").write_bytes(data)
    edit(path, lambda m: m.update(weights_sha256="sha256:" + hashlib.sha256(data).hexdigest()))


def safetensors(header: dict[str, Any] | bytes, body: bytes) -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and body of the weights."""
    data = (path / "weights.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), data[start:]


def reheader(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the weights' header as JSON, and declare the new hash."""
    header, body = split(path)
    change(header)
    rehash(path, safetensors(header, body))
