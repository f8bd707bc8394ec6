from __future__ import annotations

import pytest
import torch
from tiny import ALL_TYPES, TINY_TYPES, tiny_model
from traced import make_cases, plain_mean_logprob

from breakers.architectures import resolve_sites
from breakers.sites import Component, Site
from breakers.tracing.activations import TRACED
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, Positions
from breakers.tracing.sources import Side, Sources, neutral_means, runs

CASES = make_cases(4)


def some_patches(sites) -> list[tuple[Site, ...]]:
    """Single heads and neurons of every layer, and joint ones across layers and kinds."""
    heads = [(head_site(layer, layer % sites.heads),) for layer in range(sites.layers)]
    neurons = [(neuron_site(layer, 3 + layer),) for layer in sites.mlp_widths]
    joint = [(head_site(1, 0), head_site(1, 1)), (head_site(0, 1), head_site(2, 1), head_site(2, 0))]
    low, high = min(sites.mlp_widths, default=None), max(sites.mlp_widths, default=None)
    joint += [(head_site(low, 0), neuron_site(low, 1), neuron_site(high, 2))] if low is not None else []
    sets = [(Site(layer=n, component=Component.NEURON, neurons=(1, 5, 7)), head_site(2, 1)) for n in sites.mlp_widths]
    return [(), *heads, *neurons, *joint, *sets]


def slowly(model, sites, config, means, cases, patches) -> torch.Tensor:
    """Every case, side and patch by itself."""
    points = [point for point in sites.modules if point.boundary in TRACED]
    sources = Sources(model, sites, config, means)
    leads = torch.zeros(len(patches), len(cases))
    for side, sign in ((Side.HARMFUL, 1), (Side.NEUTRAL, -1)):
        replacement = sources.replacement(cases, side, points)
        for case, run in enumerate(runs(cases, side)):
            for number, patch in enumerate(patches):
                leads[number, case] += sign * plain_mean_logprob(model, sites, run, patch, replacement, case)
    return leads


def compare(model_type: str, source: PatchSource, positions: Positions, cases, patches=None) -> LeadMeasure:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    config = PatchConfig(source=source, positions=positions, batch_tokens=150)
    points = [point for point in sites.modules if point.boundary in TRACED]
    means = None
    if source is PatchSource.MEAN:
        means = neutral_means(model, sites, [case.pair.neutral for case in cases], points)
    patches = patches or some_patches(sites)
    measure = LeadMeasure(model, sites, config, means=means)
    found = measure(cases, patches)
    torch.testing.assert_close(found, slowly(model, sites, config, means, cases, patches), atol=1e-5, rtol=0)
    assert not measure.fallback
    return measure


@pytest.mark.parametrize("model_type", TINY_TYPES)
@pytest.mark.parametrize(
    ("source", "positions"),
    [("contrast", "generation"), ("contrast", "all"), ("completion", "generation"), ("mean", "generation")],
)
def test_every_shortcut_equals_whole_runs(model_type: str, source: str, positions: str) -> None:
    measure = compare(model_type, PatchSource(source), Positions(positions), CASES)
    assert measure.cost.replayed < measure.cost.plain


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [each for each in ALL_TYPES if each not in TINY_TYPES])
def test_every_architecture_takes_the_shortcuts(model_type: str) -> None:
    compare(model_type, PatchSource.CONTRAST, Positions.GENERATION, CASES[:2])
