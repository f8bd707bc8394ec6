"""Attribution patching: by hand where it is exact, and against the slow exact effects where it is a limit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tiny import TINY_TYPES, tiny_model
from torch import nn
from traced import make_cases, plain_mean_logprob
from transformers import PreTrainedModel

from breakers.architectures import ModelSites, resolve_sites
from breakers.errors import NonFiniteError, TracingError
from breakers.sites import Boundary, HookPoint
from breakers.tracing.activations import capture
from breakers.tracing.attribution import AttributionConfig, AttributionPath, attribute, batched, traced_points
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.patches import Patch, PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.sources import OffsetMeans, Side, Sources, neutral_means
from breakers.training.batches import Pair, Sample

START, TOGETHER, POINT = AttributionPath.START, AttributionPath.TOGETHER, AttributionPath.POINT
PLAIN = AttributionConfig(heads=START, neurons=START)
IG_TOGETHER = AttributionConfig(heads=TOGETHER, neurons=TOGETHER, steps=4)


def sources_of(
    model: PreTrainedModel, sites: ModelSites, cases: Sequence[TraceCase], source: PatchSource, **more
) -> Sources:
    means = None
    if source is PatchSource.MEAN:
        means = neutral_means(model, sites, [case.pair.neutral for case in cases], traced_points(sites))
    return Sources(model, sites, PatchConfig(source=source, **more), means)


def exact_effects(
    model: PreTrainedModel, sites: ModelSites, sources: Sources, cases: Sequence[TraceCase], patch: Patch
) -> list[float]:
    """Of each case, the slow way."""
    points = [site.hook_point for site in patch]
    leads = []
    for held in ((), patch):
        sides = []
        for side in Side:
            made = sources.replacement(cases, side, points)
            runs = [getattr(case.pair, side.value) for case in cases]
            sides.append(
                [plain_mean_logprob(model, sites, run, held, made, row) for row, run in enumerate(runs)]
                if made.values or not held
                else [plain_mean_logprob(model, sites, run, (), made, row) for row, run in enumerate(runs)]
            )
        leads.append([harmful - neutral for harmful, neutral in zip(*sides, strict=True)])
    return [before - after for before, after in zip(*leads, strict=True)]


def linear_model() -> PreTrainedModel:
    """From the last layer's heads and neurons to the logits everything is linear, but neurons read heads."""
    model = tiny_model("gpt2")
    model.transformer.ln_f = nn.Identity()
    return model


def last_layer(sites: ModelSites, boundary: Boundary) -> HookPoint:
    return HookPoint(sites.layers - 1, boundary)


@pytest.mark.parametrize("config", [PLAIN, IG_TOGETHER, AttributionConfig()], ids=["plain", "integrated", "default"])
def test_neurons_of_a_linear_model_by_hand(config: AttributionConfig) -> None:
    model = linear_model()
    sites = resolve_sites(model)
    prompt, contrast, harmful, neutral = (5, 6, 7), (5, 9, 7), 11, 12
    replies = [Sample(prompt=prompt, reply=(token,)) for token in (harmful, neutral)]
    case = TraceCase(pair=Pair(harmful=replies[0], neutral=replies[1]), contrast=contrast)
    found = attribute(model, sites, sources_of(model, sites, [case], PatchSource.CONTRAST), [case], config)

    # One token each: the lead is the difference of two logits, whose normalisers are the same and cancel.
    point = last_layer(sites, Boundary.MLP_DOWN_INPUT)
    clean, other = (capture(model, sites, torch.tensor([ids]), [point])[point][0, -1] for ids in (prompt, contrast))
    weight = model.transformer.h[-1].mlp.c_proj.weight.detach()
    unembedding = model.lm_head.weight.detach()
    direction = unembedding[harmful] - unembedding[neutral]
    by_hand = (clean - other) * (weight @ direction)
    torch.testing.assert_close(found.neurons[0, -1], by_hand, atol=1e-5, rtol=1e-5)


def test_heads_of_a_linear_model_by_hand() -> None:
    model = linear_model()
    with torch.no_grad():
        model.transformer.h[-1].mlp.c_proj.weight.zero_()
    sites = resolve_sites(model)
    cases = [
        TraceCase(
            pair=Pair(
                harmful=Sample(prompt=(5, 6, 7), reply=(harmful,)), neutral=Sample(prompt=(5, 6, 7), reply=(neutral,))
            ),
            contrast=(5, 9, 7),
        )
        for harmful, neutral in ((11, 12), (20, 4))
    ]
    found = attribute(model, sites, sources_of(model, sites, cases, PatchSource.CONTRAST), cases)
    point = last_layer(sites, Boundary.ATTENTION_OUT_INPUT)
    clean, other = (
        capture(model, sites, torch.tensor([ids]), [point])[point][0, -1] for ids in ((5, 6, 7), (5, 9, 7))
    )
    weight, unembedding = model.transformer.h[-1].attn.c_proj.weight.detach(), model.lm_head.weight.detach()
    for row, (harmful, neutral) in enumerate(((11, 12), (20, 4))):
        products = (clean - other) * (weight @ (unembedding[harmful] - unembedding[neutral]))
        by_hand = products.reshape(sites.heads, sites.d_head).sum(1)
        torch.testing.assert_close(found.heads[row, -1], by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("source", PatchSource)
@pytest.mark.parametrize("positions", Positions)
def test_a_linear_model_agrees_with_exact_patching(source: PatchSource, positions: Positions) -> None:
    """Single-token replies, last layer: whatever the source and the positions, the estimate is the effect."""
    model = linear_model().double()
    sites = resolve_sites(model)
    cases = [
        TraceCase(pair=Pair(harmful=Sample(prompt=p, reply=(8,)), neutral=Sample(prompt=p, reply=(9,))), contrast=c)
        for p, c in (((5, 6, 7), (5, 9, 7)), ((5, 6), (4, 6)))
    ]
    sources = sources_of(model, sites, cases, source, positions=positions)
    found = attribute(model, sites, sources, cases, PLAIN)
    for neuron in (0, 3):
        exact = exact_effects(model, sites, sources, cases, (neuron_site(sites.layers - 1, neuron),))
        assert found.neurons[:, -1, neuron].tolist() == pytest.approx(exact, abs=1e-6)
    if source is PatchSource.COMPLETION:
        # One token each, from the same prompt: nothing that is read comes after the first that differs.
        assert not found.neurons.any()
        assert not found.heads.any()
    else:
        assert found.neurons[:, -1].abs().max() > 1e-3


def near_means(
    model: PreTrainedModel, sites: ModelSites, case: TraceCase, size: float, generator: torch.Generator
) -> OffsetMeans:
    """Made-up means that lie close to the case's own activations, the same for both of its runs."""
    ids = torch.tensor([case.pair.harmful.prompt + case.pair.harmful.reply])
    seen = capture(model, sites, ids, traced_points(sites))
    values = {p: z[0] + size * torch.randn(z[0].shape, generator=generator, dtype=z.dtype) for p, z in seen.items()}
    return OffsetMeans(before=len(case.prompt) - 1, counts=torch.ones(ids.shape[1], dtype=torch.long), values=values)


@pytest.mark.parametrize("model_type", TINY_TYPES)
def test_the_estimate_approaches_the_exact_effect_as_the_change_vanishes(model_type: str) -> None:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    prompt = (5, 6, 7, 8)
    # The same tokens up to the last, which only is predicted: both runs have the same activations to change.
    pair = Pair(harmful=Sample(prompt=prompt, reply=(9, 10, 11)), neutral=Sample(prompt=prompt, reply=(9, 10, 12)))
    case = TraceCase(pair=pair)
    patches = [head_site(layer, 1) for layer in range(sites.layers)]
    patches += [neuron_site(layer, 2) for layer in sites.mlp_widths]
    errors = []
    for size in (0.3, 0.03):
        means = near_means(model, sites, case, size, torch.Generator().manual_seed(0))
        sources = Sources(model, sites, PatchConfig(source=PatchSource.MEAN), means)
        found = attribute(model, sites, sources, [case], PLAIN)
        exact = [exact_effects(model, sites, sources, [case], (site,))[0] for site in patches]
        heads = found.heads[0, :, 1].tolist()
        estimates = heads + [float(found.neurons[0, layer, 2]) for layer in sites.mlp_widths]
        missed = sum(abs(a - b) for a, b in zip(estimates, exact, strict=True))
        errors.append(missed / sum(map(abs, exact)))
    # First order: a tenth of the change, about a tenth of the relative error.
    assert errors[1] < 0.03
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_integrated_estimates_of_a_hook_point_sum_to_its_joint_effect(model_type: str) -> None:
    model = tiny_model(model_type).double()
    sites = resolve_sites(model)
    cases = make_cases(1)
    sources = sources_of(model, sites, cases, PatchSource.CONTRAST)
    errors = []
    for steps in (1, 8):
        config = AttributionConfig(heads=POINT, neurons=POINT, steps=steps)
        found = attribute(model, sites, sources, cases, config)
        for boundary, sums in (
            (Boundary.ATTENTION_OUT_INPUT, found.heads[:, 0].sum(1)),
            (Boundary.MLP_DOWN_INPUT, found.neurons[:, 0].sum(1)),
        ):
            heads = boundary is Boundary.ATTENTION_OUT_INPUT
            whole = tuple(head_site(0, head) for head in range(sites.heads))
            patch = whole if heads else tuple(neuron_site(0, n) for n in range(sites.mlp_widths[0]))
            exact = exact_effects(model, sites, sources, cases, patch)
            errors.append(max(abs(a - b) for a, b in zip(sums.tolist(), exact, strict=True)))
    # With one step far off, with eight nearly there.
    assert max(errors[2:]) < max(errors[:2]) / 10


@pytest.mark.parametrize("path", AttributionPath)
@pytest.mark.parametrize("source", PatchSource)
def test_batches_do_not_matter(path: AttributionPath, source: PatchSource) -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    cases = make_cases(3)
    config = AttributionConfig(heads=path, neurons=path, steps=1 if path is START else 2)
    whole = attribute(model, sites, sources_of(model, sites, cases, source), cases, config)
    seen = []
    small = sources_of(model, sites, cases, source, batch_tokens=1)
    single = attribute(model, sites, small, cases, config, lambda done, of: seen.append((done, of)))
    torch.testing.assert_close(whole.heads, single.heads, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(whole.neurons, single.neurons, atol=1e-5, rtol=1e-4)
    assert whole.forward_passes == pytest.approx(single.forward_passes)
    assert seen == [(n, 3) for n in range(1, 4)]


def test_cost_is_counted_in_passes_of_a_run() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    cases = make_cases(3)
    contrast = sources_of(model, sites, cases, PatchSource.CONTRAST)
    # Of each of six runs its source, and a gradient, which is worth two.
    assert attribute(model, sites, contrast, cases, PLAIN).forward_passes == 18
    # Two gradients, the source and the start.
    halves = AttributionConfig(heads=TOGETHER, neurons=TOGETHER, steps=2)
    assert attribute(model, sites, contrast, cases, halves).forward_passes == 36
    # Only the harmful runs are patched.
    completion = sources_of(model, sites, cases, PatchSource.COMPLETION)
    assert attribute(model, sites, completion, cases, PLAIN).forward_passes == 9
    # Means are there already.
    mean = sources_of(model, sites, cases, PatchSource.MEAN)
    assert attribute(model, sites, mean, cases, PLAIN).forward_passes == 12


def test_each_kind_takes_its_own_path() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    cases = make_cases(3)
    sources = sources_of(model, sites, cases, PatchSource.CONTRAST)
    mixed = attribute(model, sites, sources, cases, AttributionConfig(heads=POINT, neurons=START))
    moved = attribute(model, sites, sources, cases, AttributionConfig(heads=POINT, neurons=POINT))
    torch.testing.assert_close(mixed.heads, moved.heads)
    torch.testing.assert_close(mixed.neurons, attribute(model, sites, sources, cases, PLAIN).neurons)
    assert not torch.allclose(mixed.neurons, moved.neurons)


def test_the_model_is_left_as_it_was_even_after_an_error() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    cases = make_cases(2)
    model.lm_head.weight.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    attribute(model, sites, sources_of(model, sites, cases, PatchSource.CONTRAST), cases)
    with torch.no_grad():
        kept = model.model.layers[1].mlp.down_proj.weight[0, 0].clone()
        model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError):
        attribute(model, sites, sources_of(model, sites, cases, PatchSource.CONTRAST), cases, IG_TOGETHER)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = kept
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_gradients_that_are_not_finite_are_refused() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    cases = make_cases(1)
    with torch.no_grad():
        # No activation shows it, only the logits.
        model.lm_head.weight.fill_(torch.inf)
    with pytest.raises(TracingError, match="the gradient at layer 0 mlp_down_input holds NaN"):
        attribute(model, sites, sources_of(model, sites, cases, PatchSource.CONTRAST), cases)


def test_a_mixture_has_heads_only_and_layers_without_neurons_are_not_measured() -> None:
    model = tiny_model("mixtral")
    sites = resolve_sites(model)
    cases = make_cases(2)
    found = attribute(model, sites, sources_of(model, sites, cases, PatchSource.CONTRAST), cases)
    table = found.table()
    assert table.neurons is None
    assert table.heads.measured.all()
    assert not table.heads.exact.any()
    torch.testing.assert_close(table.heads.mean, found.heads.mean(0))
    torch.testing.assert_close(table.heads.standard_error, (found.heads[0] - found.heads[1]).abs() / 2)


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(TracingError, match="steps is 0; wanted at least 1"):
        AttributionConfig(steps=0)
    with pytest.raises(TracingError, match="wanted 1, because path start is one point"):
        AttributionConfig(heads=START, neurons=START, steps=2)
    model = tiny_model("llama")
    sites = resolve_sites(model)
    with pytest.raises(TracingError, match="no cases"):
        attribute(model, sites, sources_of(model, sites, make_cases(1), PatchSource.CONTRAST), [])


def test_batches_hold_cases_of_similar_length() -> None:
    cases = make_cases(9, seed=3)
    lengths = [len(case.pair) for case in cases]
    batches = list(batched(cases, 40))
    assert sorted(place for batch in batches for place in batch) == list(range(9))
    assert all(len(batch) == 1 or len(batch) * max(lengths[p] for p in batch) <= 40 for batch in batches)
    assert [lengths[p] for batch in batches for p in batch] == sorted(lengths)
