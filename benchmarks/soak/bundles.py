"""The bundles of the soak: the packaged ones, a second toxicity breaker of that name, and one that comes and goes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.bundles import load_bundle, save_bundle
from breakers.bundles.canary import measure_canary
from breakers.bundles.making import BundleDraft, make_bundle
from breakers.demo import bundles_path, model_path
from breakers.interventions import Breaker, Mask
from breakers.sites import Component, Site

SWAPPED = "toxicity"
"""Changes its contents."""
EXTRA = "extra-mask"
"""Is added and removed."""
VARIANTS = ("full", "half")
_FILES = ("bundle.json", "weights.safetensors", "card.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakBundles:
    """Directories of bundles."""

    root: Path

    @property
    def served(self) -> list[Path]:
        """What the server starts with."""
        return sorted(path for path in (self.root / "served").iterdir())

    @property
    def extra(self) -> Path:
        """The bundle that comes and goes."""
        return self.root / EXTRA

    def swap(self, variant: str) -> None:
        """Put one variant's contents into the served directory of the swapped bundle."""
        for name in _FILES:
            source = self.root / variant / name
            if source.exists():
                shutil.copyfile(source, self.root / "served" / SWAPPED / name)


def make_soak_bundles(root: Path) -> SoakBundles:
    """Write all of them below `root`."""
    from transformers import AutoModelForCausalLM

    for source in bundles_path().iterdir():
        if source.is_dir():
            shutil.copytree(source, root / "served" / source.name)
    shutil.copytree(bundles_path() / SWAPPED, root / VARIANTS[0])
    model = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32, local_files_only=True).eval()
    _save_half(model, root / VARIANTS[1])
    _save_extra(model, root / EXTRA)
    return SoakBundles(root=root)


def _save_half(model: torch.nn.Module, path: Path) -> None:
    """The same breakers at half of their strength, as a bundle that verifies: with a canary of its own."""
    whole = load_bundle(bundles_path() / SWAPPED)
    halved = tuple(replace(k, up=k.up / 2) if isinstance(k, Breaker) else k for k in whole.interventions)
    entry = replace(whole.bank_entry(), interventions=halved)
    canary = measure_canary(model, resolve_sites(model), entry, whole.manifest.canary.token_ids)
    save_bundle(whole.manifest.model_copy(update={"canary": canary}), halved, path)


def _save_extra(model: torch.nn.Module, path: Path) -> None:
    keep = torch.zeros(64)
    site = Site(layer=1, component=Component.NEURON, neurons=tuple(range(64)))
    draft = BundleDraft(
        entry=BankEntry(name=EXTRA, scope=Scope.ALL, interventions=(Mask(site=site, keep=keep),)),
        behaviour="none",
        base_id="scalpel-demo",
        licence="Apache-2.0",
        command="python -m benchmarks.soak",
    )
    make_bundle(model, draft, [list(range(3, 40))], path)


@contextmanager
def swapped_to(bundles: SoakBundles, variant: str) -> Iterator[None]:
    """Have a variant in place for a while, the full one afterwards."""
    bundles.swap(variant)
    try:
        yield
    finally:
        bundles.swap(VARIANTS[0])
