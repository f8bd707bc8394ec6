"""Sites as values, and the resolver on tiny models of every supported architecture."""

import pytest
from tiny import TINY_TYPES, tiny_model

from breakers.architectures import resolve_sites
from breakers.bundles.manifest import SiteManifest
from breakers.errors import SiteError
from breakers.sites import Boundary, Component, HookPoint, Site


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": -1, "component": Component.RESID}, "layer is -1"),
        ({"layer": 0, "component": Component.HEAD}, "head=None"),
        ({"layer": 0, "component": Component.RESID, "head": 1}, "head=1"),
        ({"layer": 0, "component": Component.NEURON}, "neurons=None"),
        ({"layer": 0, "component": Component.NEURON, "neurons": ()}, "no neurons"),
        ({"layer": 0, "component": Component.NEURON, "neurons": (3, 3)}, "strictly increasing"),
        ({"layer": 0, "component": Component.HEAD, "head": 0, "expert": 1}, "expert=1"),
        ({"layer": 0, "component": Component.NEURON, "neurons": (3,), "expert": -1}, "expert=-1"),
    ],
)
def test_impossible_sites_are_refused(arguments, message) -> None:
    with pytest.raises(SiteError, match=message):
        Site(**arguments)


@pytest.mark.parametrize("model_type", TINY_TYPES)
def test_every_layer_has_its_hook_points(model_type) -> None:
    sites = resolve_sites(tiny_model(model_type))
    assert (sites.layers, sites.heads, sites.d_model) == (3, 4, 32)
    # Gemma's head_dim differs from hidden_size / heads; the width is measured, not read.
    assert sites.d_head == (16 if model_type == "gemma3_text" else 8)
    assert sites.width(HookPoint(2, Boundary.ATTENTION_OUT_INPUT)) == 4 * sites.d_head
    assert sites.width(HookPoint(2, Boundary.BLOCK_OUTPUT)) == 32


@pytest.mark.parametrize(("model_type", "d_mlp"), [("llama", 48), ("gpt2", 128), ("gemma3_text", 48)])
def test_neuron_width(model_type, d_mlp) -> None:
    assert resolve_sites(tiny_model(model_type)).d_mlp == d_mlp


def test_channels_of_a_head_and_of_neurons() -> None:
    sites = resolve_sites(tiny_model("llama"))
    assert sites.channels(Site(layer=1, component=Component.HEAD, head=2)) == list(range(16, 24))
    assert sites.channels(Site(layer=1, component=Component.NEURON, neurons=(4, 9))) == [4, 9]


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(layer=3, component=Component.RESID), "layers 0 to 2"),
        (Site(layer=0, component=Component.HEAD, head=4), "heads 0 to 3"),
        (Site(layer=0, component=Component.NEURON, neurons=(48,)), "neurons 0 to 47"),
    ],
)
def test_sites_beyond_the_model_are_refused(site, message) -> None:
    with pytest.raises(SiteError, match=message):
        resolve_sites(tiny_model("llama")).channels(site)


def test_neurons_of_a_mixture_are_refused_with_the_reason() -> None:
    with pytest.raises(SiteError, match="mixture of experts"):
        resolve_sites(tiny_model("mixtral")).channels(Site(layer=0, component=Component.NEURON, neurons=(0,)))


@pytest.mark.parametrize(
    "site",
    [
        Site(layer=1, component=Component.NEURON, neurons=(4, 9), expert=3),
        Site(layer=1, component=Component.NEURON, neurons=(4, 9)),
        Site(layer=1, component=Component.HEAD, head=2),
    ],
)
def test_sites_are_carried_by_manifests(site) -> None:
    text = SiteManifest.of(site).model_dump_json()
    assert SiteManifest.model_validate_json(text).site() == site


def test_an_experts_neurons_are_another_hook_point_than_the_layers() -> None:
    shared, first, second = (Site(layer=1, component=Component.NEURON, neurons=(0,), expert=e) for e in (None, 0, 1))
    assert len({shared.hook_point, first.hook_point, second.hook_point}) == 3
    assert [str(p) for p in sorted({first.hook_point, second.hook_point, shared.hook_point})] == [
        "layer 1 expert_down_input 0",
        "layer 1 expert_down_input 1",
        "layer 1 mlp_down_input",
    ]
    assert str(second) == "layer 1 expert 1 neurons (1)"
