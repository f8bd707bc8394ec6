"""The mathematics by hand, and against the slow statement of the formula."""

import pytest
import torch
from exporting import breaker, bundle_of, everything, export_model, mask, neurons, vector

from breakers.architectures import resolve_sites
from breakers.errors import ExportError
from breakers.exports.folding import FixedUpdate, fix_strength, folded_bias, folded_weight, lora_factors
from breakers.interventions import intervene
from breakers.sites import Boundary, HookPoint


def double(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def toy() -> FixedUpdate:
    # Channel 1 is half masked; one breaker reads channel 1 and writes twice of it to channel 0.
    return FixedUpdate(
        keep=double(1.0, 0.5), down=double([0.0, 1.0]), up=double([2.0], [0.0]), shift=double(10.0, 0.0)
    )


WEIGHT = double([3.0, 5.0], [7.0, 11.0])


def test_folded_weight_and_bias_by_hand() -> None:
    # z = (a, b) becomes (a + 2 b / 2 + 10, b / 2): W' columns are W[:, 0] and W[:, 0] + W[:, 1] / 2.
    assert torch.equal(folded_weight(toy(), WEIGHT), double([3.0, 5.5], [7.0, 12.5]))
    assert torch.equal(folded_bias(toy(), WEIGHT, double(1.0, 2.0)), double(31.0, 72.0))


def test_lora_factors_by_hand() -> None:
    factors = lora_factors(toy(), WEIGHT)
    assert factors.rank == 2
    assert torch.equal(factors.a, double([0.0, 0.5], [0.0, 1.0]))
    assert torch.equal(factors.b, double([6.0, -2.5], [14.0, -5.5]))
    assert torch.equal(WEIGHT + factors.b @ factors.a, folded_weight(toy(), WEIGHT))


def test_a_pruned_column_is_exactly_zero() -> None:
    update = FixedUpdate(
        keep=double(1.0, 0.0), down=double([1.0, 1.0]), up=double([0.1], [0.7]), shift=torch.zeros(2).double()
    )
    assert not folded_weight(update, WEIGHT)[:, 1].any()


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_folding_equals_the_formula_on_every_projection(strength) -> None:
    model = export_model("llama")
    sites = resolve_sites(model)
    interventions = [*everything(model), vector(neurons(1, 5, 9), 2)]
    z = torch.randn(5, sites.d_mlp, generator=torch.Generator().manual_seed(0))
    point = HookPoint(1, Boundary.MLP_DOWN_INPUT)
    update = fix_strength(bundle_of(model, interventions), sites, strength)[point]
    weight = sites.module(point).weight.detach().double()

    # The slow way: each intervention widened to the hook point by hand, then DESIGN's formula.
    here = [(widen(k, sites.d_mlp), torch.full((5,), strength)) for k in interventions if k.site.hook_point == point]
    wanted = intervene(z, here).double() @ weight.T
    folded = z.double() @ folded_weight(update, weight).T + folded_bias(update, weight, torch.zeros(32).double())
    torch.testing.assert_close(folded, wanted, atol=1e-5, rtol=0)


def widen(intervention, width):
    """The same intervention at a site that names every neuron."""
    channels = list(intervention.site.neurons)
    site = neurons(intervention.site.layer, *range(width))
    if intervention.kind == "mask":
        keep = torch.ones(width)
        keep[channels] = intervention.keep
        return type(intervention)(site=site, keep=keep)
    if intervention.kind == "steering":
        wide = torch.zeros(width)
        wide[channels] = intervention.vector
        return type(intervention)(site=site, vector=wide)
    down, up = torch.zeros(len(intervention.down), width), torch.zeros(width, len(intervention.down))
    down[:, channels], up[channels] = intervention.down, intervention.up
    return type(intervention)(site=site, down=down, up=up)


def test_points_where_nothing_happens_are_left_out_and_nothing_at_all_is_refused() -> None:
    model = export_model("llama")
    sites = resolve_sites(model)
    idle = mask(neurons(0, 1, 2), 1.0, 1.0)
    acting = breaker(neurons(1, 4), 1, rank=1)
    updates = fix_strength(bundle_of(model, [idle, acting]), sites, 1.0)
    assert list(updates) == [HookPoint(1, Boundary.MLP_DOWN_INPUT)]
    with pytest.raises(ExportError, match="changes nothing"):
        fix_strength(bundle_of(model, [idle]), sites, 1.0)
