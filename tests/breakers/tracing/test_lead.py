from __future__ import annotations

import pytest
import torch
from tiny import ALL_TYPES, TINY_TYPES, tiny_model
from torch import nn
from traced import fast_grid, make_cases, plain_mean_logprob

from breakers.architectures import resolve_sites
from breakers.errors import NonFiniteError, SiteError, TracingError
from breakers.sites import Boundary, Component, HookPoint, Site
from breakers.tracing import replay
from breakers.tracing.activations import TRACED
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.replay import Rows, record
from breakers.tracing.sources import Replacement, Side, Sources, neutral_means, runs
from breakers.training.batches import Pair, Sample

CASES = make_cases(4, vocab=80)


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


@pytest.mark.parametrize(
    ("model_type", "source", "positions"),
    fast_grid(("contrast", "all"), ("completion", "generation"), ("mean", "generation"), ("mean", "all")),
)
def test_every_shortcut_equals_whole_runs(model_type: str, source: str, positions: str) -> None:
    measure = compare(model_type, PatchSource(source), Positions(positions), CASES)
    assert measure.cost.replayed < measure.cost.plain


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [each for each in ALL_TYPES if each not in TINY_TYPES])
def test_every_architecture_takes_the_shortcuts(model_type: str) -> None:
    compare(model_type, PatchSource.CONTRAST, Positions.GENERATION, CASES[:2])


@pytest.fixture
def llama():
    model = tiny_model("llama")
    return model, resolve_sites(model)


def all_heads(sites) -> list[tuple[Site, ...]]:
    return [(head_site(layer, head),) for layer in range(sites.layers) for head in range(sites.heads)]


def test_no_effect_before_the_first_token_that_differs(llama) -> None:
    model, sites = llama
    prompt = (5, 6, 7, 8)
    # The replies part at the harmful one's last token, which no score follows.
    pair = Pair(harmful=Sample(prompt=prompt, reply=(9, 10, 2)), neutral=Sample(prompt=prompt, reply=(9, 10, 11, 2)))
    measure = LeadMeasure(model, sites, PatchConfig(source=PatchSource.COMPLETION))
    leads = measure([TraceCase(pair=pair), *CASES], [(), *all_heads(sites)])
    assert (leads[:, 0] == leads[0, 0]).all()
    assert (leads[1:, 1:] != leads[0, 1:]).any(0).all()


def test_tokens_before_the_first_patched_one_keep_their_log_probabilities_bit_for_bit(llama) -> None:
    model, sites = llama
    samples = runs(CASES, Side.HARMFUL)
    sources = Sources(model, sites, PatchConfig(source=PatchSource.COMPLETION))
    rows = Rows.of(samples, sources.patched(CASES, Side.HARMFUL))
    entry = HookPoint(0, Boundary.ATTENTION_OUT_INPUT)
    recorded = record(model, sites, rows, [entry])
    made = sources.replacement(CASES, Side.HARMFUL, [entry], first=recorded.first)
    made = Replacement(values={entry: made.values[entry][:, :-1]}, patched=made.patched[:, :-1])
    found = recorded.replay(entry, [(head_site(0, 0),), (head_site(0, 1),)], made)
    before = ~rows.affected.expand_as(found)
    assert (found[before] == recorded.logprobs.expand_as(found)[before]).all()
    after = rows.affected.expand_as(found)
    assert (found[after] != recorded.logprobs.expand_as(found)[after]).any()


def test_a_contrast_prompt_that_is_the_prompt_changes_nothing(llama) -> None:
    model, sites = llama
    same = [TraceCase(pair=case.pair, contrast=case.prompt) for case in CASES]
    leads = LeadMeasure(model, sites, PatchConfig())(same, [(), *all_heads(sites)])
    assert (leads == leads[0]).all()


def test_batches_of_any_size_give_the_same(llama) -> None:
    model, sites = llama
    patches = some_patches(sites)
    large, small = (LeadMeasure(model, sites, PatchConfig(batch_tokens=n))(CASES, patches) for n in (4096, 1))
    torch.testing.assert_close(large, small, atol=1e-5, rtol=0)


def test_cost_counts_layers_and_tokens(llama) -> None:
    model, sites = llama
    prompt, contrast = (5, 6, 7, 8, 9), (5, 6, 7, 8, 10)
    # Five of the nine tokens of the run are before the last prompt token or the last of all: four stay.
    pair = Pair(
        harmful=Sample(prompt=prompt, reply=(11, 12, 13, 2)), neutral=Sample(prompt=prompt, reply=(14, 15, 16, 2))
    )
    measure = LeadMeasure(model, sites, PatchConfig())
    measure._verified.update(Boundary)
    measure([TraceCase(pair=pair, contrast=contrast)], [(), (head_site(1, 0),), (neuron_site(1, 0),)])
    # Two unmodified and two contrast runs.
    assert measure.cost.recorded == 4
    # Of three layers the head's patch runs two, the neuron's one; of eight positions the last four.
    assert measure.cost.replayed == pytest.approx(2 * (2 / 3 + 1 / 3) * 4 / 8)
    assert measure.cost.plain == 4


def test_a_model_that_the_shortcuts_do_not_fit_runs_the_plain_way(llama) -> None:
    model, sites = llama
    patches = some_patches(sites)
    # A hook of someone else's: it would act a second time on what a block below hands on.
    with torch.no_grad():
        handle = model.model.layers[0].register_forward_hook(lambda _module, _args, hidden: hidden * 1.1)
        measure = LeadMeasure(model, sites, PatchConfig())
        found = measure(CASES, patches[2:])
        wanted = slowly(model, sites, PatchConfig(), None, CASES, patches[2:])
        handle.remove()
    assert measure.fallback.startswith("llama: at layer")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_projection_of_another_kind_runs_the_plain_way(llama) -> None:
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, sites = llama
    model.model.layers[1].self_attn.o_proj.__class__ = Doubled
    patches = [(), (head_site(1, 2),), (head_site(0, 1),)]
    measure = LeadMeasure(model, sites, PatchConfig())
    found = measure(CASES, patches)
    assert "Doubled" in measure.fallback
    torch.testing.assert_close(found, slowly(model, sites, PatchConfig(), None, CASES, patches), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("weight", "where"), [("embed_tokens", "layer 0 attention"), ("norm", "what follows")])
def test_values_that_are_not_finite_name_layer_and_case(llama, weight: str, where: str) -> None:
    model, sites = llama
    prompt = (5, 90, 7)
    broken = Pair(harmful=Sample(prompt=prompt, reply=(9, 2)), neutral=Sample(prompt=prompt, reply=(10, 2)))
    cases = [*CASES, TraceCase(pair=broken, contrast=(5, 6, 7))]
    with torch.no_grad():
        if weight == "norm":
            model.model.norm.weight[3] = torch.inf
            cases = cases[-1:]
        else:
            model.model.embed_tokens.weight[90] = torch.nan
    with pytest.raises(NonFiniteError, match=where) as raised:
        LeadMeasure(model, sites, PatchConfig())(cases, [(head_site(2, 0),)])
    assert raised.value.case == len(cases) - 1


def test_what_cannot_be_measured_is_refused(llama) -> None:
    model, sites = llama
    measure = LeadMeasure(model, sites, PatchConfig())
    with pytest.raises(TracingError, match="0 cases and 1 patches"):
        measure([], [()])
    with pytest.raises(SiteError, match="heads 0 to 3"):
        measure(CASES, [(head_site(0, 4),)])
    with pytest.raises(TracingError, match="block_output cannot be patched"):
        measure(CASES, [(Site(layer=0, component=Component.RESID),)])
    with pytest.raises(TracingError, match="training mode"):
        LeadMeasure(model.train(), sites, PatchConfig())


def test_nothing_of_the_model_is_changed_even_after_an_error(llama, monkeypatch) -> None:
    model, sites = llama
    before = {name: (set(vars(module)), len(module._forward_hooks)) for name, module in model.named_modules()}
    measure = LeadMeasure(model, sites, PatchConfig())
    measure(CASES, some_patches(sites))
    calls = iter([None] * 3)
    monkeypatch.setattr(replay, "_logprobs", lambda *_: next(calls))
    with pytest.raises((StopIteration, TypeError)):
        measure(CASES, some_patches(sites))
    after = {name: (set(vars(module)), len(module._forward_hooks)) for name, module in model.named_modules()}
    assert before == after


def test_aligned_rows_have_their_first_patched_positions_in_one_column() -> None:
    samples = [Sample(prompt=(5, 6, 7, 8), reply=(9, 2)), Sample(prompt=(10, 11), reply=(12, 13, 14, 2))]
    # From the last prompt tokens on: at 3 and at 1.
    patched = torch.tensor([[False, False, False, True, True, True], [False, True, True, True, True, True]])
    rows = Rows.of(samples, patched).aligned()
    assert rows.shift.tolist() == [0, 2]
    assert rows.first == 3
    assert rows.ids.tolist() == [[5, 6, 7, 8, 9, 0, 0], [0, 0, 10, 11, 12, 13, 14]]
    assert [row.nonzero().flatten().tolist() for row in rows.patched] == [[3, 4], [3, 4, 5, 6]]
    assert [row.nonzero().flatten().tolist() for row in rows.targets] == [[3, 4], [3, 4, 5, 6]]
    assert rows.following[rows.targets].tolist() == [9, 2, 12, 13, 14, 2]
    assert rows.real.sum(1).tolist() == [5, 5]
    inputs = rows.inputs(3, 7, copies=2)
    assert inputs["position_ids"].tolist() == [[3, 4, 5, 6], [1, 2, 3, 4]] * 2
    assert inputs["attention_mask"].tolist() == [[1] * 7, [0, 0, 1, 1, 1, 1, 1]] * 2


def test_half_precision_takes_the_shortcuts_too() -> None:
    exact, half = tiny_model("llama"), tiny_model("llama").bfloat16()
    sites = resolve_sites(half)
    measure = LeadMeasure(half, sites, PatchConfig())
    found = measure(CASES, some_patches(sites))
    assert not measure.fallback
    wanted = LeadMeasure(exact, resolve_sites(exact), PatchConfig())(CASES, some_patches(sites))
    torch.testing.assert_close(found, wanted, atol=0.25, rtol=0.05)
