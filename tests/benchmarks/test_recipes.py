from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.recipes import RECIPES, circuit_size, main
from breakers.bundles.manifest import BundleManifest, InterventionManifest, SiteManifest
from breakers.interventions import Kind
from breakers.sites import Component, Site


def breaker(site: Site) -> InterventionManifest:
    tensors = {"down": "a", "up": "b"}
    return InterventionManifest(kind=Kind.BREAKER, site=SiteManifest.of(site), rank=1, tensors=tensors)


def test_heads_and_neurons_are_counted_once() -> None:
    heads = [Site(layer=layer, component=Component.HEAD, head=head) for layer, head in ((0, 1), (1, 1), (1, 1))]
    neurons = [
        Site(layer=layer, component=Component.NEURON, neurons=at) for layer, at in ((0, (1, 2)), (2, (2, 9, 10)))
    ]
    manifest = BundleManifest.model_construct(interventions=[breaker(site) for site in (*heads, *neurons)])
    assert circuit_size(manifest) == (2, 5)


def test_every_recipe_of_the_demo_is_measured() -> None:
    found = {path.stem for path in Path("recipes").glob("demo-*.yaml")}
    assert found == set(RECIPES.values())


def test_a_folder_that_exists_is_not_a_clean_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--keep", str(tmp_path)]) == 1
    assert "wanted a new folder" in capsys.readouterr().err
