from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import tiny_model
from traced import END, fast_grid, make_cases, plain_reply

from breakers.architectures import resolve_sites
from breakers.errors import NonFiniteError, SiteError, TracingError
from breakers.sites import Component, Site
from breakers.tracing.activations import TRACED
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.generation import GenerationConfig, PatchedGenerator, _choose
from breakers.tracing.harm import HarmMeasure, Judge
from breakers.tracing.patches import PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.sources import Sources, neutral_means
from breakers.training.batches import Pair, Sample

CASES = make_cases(4, vocab=80)
GREEDY = GenerationConfig(end=END, max_new_tokens=5)


def all_heads_of(sites, layer: int) -> tuple[Site, ...]:
    return tuple(head_site(layer, head) for head in range(sites.heads))


def make_case(prompt, neutral):
    pair = Pair(harmful=Sample(prompt=prompt, reply=(95, END)), neutral=Sample(prompt=prompt, reply=(*neutral, END)))
    return TraceCase(pair=pair)


def made(model_type: str, source: PatchSource, positions: Positions, generation=GREEDY, **config):
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    how = PatchConfig(source=source, positions=positions, **config)
    means = None
    if source is PatchSource.MEAN:
        points = [point for point in sites.modules if point.boundary in TRACED]
        means = neutral_means(model, sites, [case.pair.neutral for case in CASES], points)
    return (
        model,
        sites,
        Sources(model, sites, how, means),
        PatchedGenerator(model, sites, how, generation, means=means),
    )


@pytest.mark.parametrize(
    ("model_type", "source", "positions"),
    fast_grid(("contrast", "all"), ("completion", "generation"), ("mean", "all")),
)
def test_replies_are_those_of_generating_everything_anew(model_type: str, source: str, positions: str) -> None:
    model, sites, sources, generator = made(model_type, PatchSource(source), Positions(positions))
    widest = max(sites.mlp_widths, default=None)
    patches = [(), all_heads_of(sites, 0), (*all_heads_of(sites, 1), *all_heads_of(sites, 2))]
    if widest is not None:
        every = tuple(range(sites.mlp_widths[widest]))
        patches.append((Site(layer=widest, component=Component.NEURON, neurons=every), head_site(0, 1)))
    found = generator.replies(CASES, patches)
    wanted = [[plain_reply(model, sites, sources, case, patch, 5) for case in CASES] for patch in patches]
    assert found == wanted
    if source != "completion":
        assert any(
            reply != unpatched for replies in found[1:] for reply, unpatched in zip(replies, found[0], strict=True)
        )


def test_batches_of_any_size_give_the_same_replies() -> None:
    *_, sites, _, large = made("llama", PatchSource.CONTRAST, Positions.GENERATION)
    *_, small = made("llama", PatchSource.CONTRAST, Positions.GENERATION, batch_tokens=1)
    patches = [(head_site(layer, 1), neuron_site(layer, 2)) for layer in range(sites.layers)]
    assert large.replies(CASES, patches) == small.replies(CASES, patches)


def test_completion_changes_nothing_while_the_tokens_are_the_neutral_ones() -> None:
    _, sites, _, generator = made("llama", PatchSource.COMPLETION, Positions.GENERATION)
    ((unpatched,),) = generator.replies(CASES[:1], [()])
    assert unpatched
    # The model's own reply is the neutral one: the runs never differ, whatever is patched.
    own = make_case(CASES[0].prompt, unpatched)
    patches = [all_heads_of(sites, layer) for layer in range(sites.layers)]
    assert generator.replies([own], patches) == [[unpatched]] * sites.layers


def test_sampling_depends_on_seed_and_case_only() -> None:
    def sampled(seed: int, cases, patches, **config):
        generation = GenerationConfig(end=END, max_new_tokens=5, temperature=1.0, seed=seed)
        *_, generator = made("llama", PatchSource.CONTRAST, Positions.GENERATION, generation, **config)
        return generator.replies(cases, patches)

    patches = [(), (head_site(1, 1),)]
    whole = sampled(3, CASES, patches)
    assert whole == sampled(3, CASES, patches, batch_tokens=1)
    assert whole[1][2] == sampled(3, CASES[2:3], patches[1:])[0][0]
    assert whole != sampled(4, CASES, patches)


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([0.5, 0.2, 0.3]).log().expand(4, -1)
    assert _choose(logits, 1.0, torch.tensor([0.1, 0.49, 0.51, 0.75])).tolist() == [0, 0, 1, 2]


class LengthScorer:
    """H is a tenth of a reply's words."""

    name = "length"
    behaviours = ("words",)

    def __init__(self) -> None:
        self.scored = 0

    def score(self, replies):
        self.scored += len(replies)
        return [{"words": len(reply.reply.split()) / 10} for reply in replies]


def judge(scorer, behaviour="words") -> Judge:
    return Judge(
        scorer=scorer,
        behaviour=behaviour,
        decode=lambda ids: " ".join(map(str, ids)),
        messages=lambda case: [{"role": "user", "content": str(case.prompt)}],
    )


def test_harm_measure_scores_the_replies_and_equal_ones_once() -> None:
    model, sites, _, generator = made("llama", PatchSource.CONTRAST, Positions.GENERATION)
    scorer = LengthScorer()
    measure = HarmMeasure(model, sites, PatchConfig(), GREEDY, judge(scorer))
    patches = [(), (), all_heads_of(sites, 1)]
    found = measure(CASES, patches)
    replies = generator.replies(CASES, patches)
    assert torch.equal(found, torch.tensor([[len(reply) / 10 for reply in row] for row in replies]))
    assert scorer.scored == len({(case, reply) for row in replies for case, reply in enumerate(row)})
    assert measure.cost.total > 0


def test_what_cannot_be_generated_is_refused() -> None:
    model, sites, _, generator = made("llama", PatchSource.CONTRAST, Positions.GENERATION)
    with pytest.raises(TracingError, match="case 0 has no contrast prompt"):
        generator.replies([make_case((5, 6), (7,))], [()])
    with pytest.raises(SiteError, match="heads 0 to 3"):
        generator.replies(CASES, [(head_site(0, 9),)])
    with pytest.raises(TracingError, match="0 cases"):
        generator.replies([], [()])
    with pytest.raises(TracingError, match="needs the mean"):
        PatchedGenerator(model, sites, PatchConfig(source=PatchSource.MEAN), GREEDY)
    with pytest.raises(TracingError, match="max_new_tokens=0"):
        GenerationConfig(end=END, max_new_tokens=0)
    with pytest.raises(TracingError, match="does not score 'rudeness'; it scores words"):
        judge(LengthScorer(), "rudeness")


def test_a_run_that_is_not_finite_names_layer_and_case() -> None:
    model, _, _, generator = made("llama", PatchSource.CONTRAST, Positions.GENERATION)
    with torch.no_grad():
        model.model.embed_tokens.weight[90] = torch.nan
    broken = replace(make_case((5, 90, 7), (8,)), contrast=(5, 6, 7))
    cases = [*CASES[:2], broken, *CASES[2:]]
    with pytest.raises(NonFiniteError, match="layer 0 attention_out_input of case 2"):
        generator.replies(cases, [(head_site(1, 0),)])
