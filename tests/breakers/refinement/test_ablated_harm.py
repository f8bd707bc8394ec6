"""H of text under ablations, against greedy generation by whole forwards with hooks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from replaced import greedy_reply
from tiny import tiny_model
from traced import END, make_cases

from breakers.architectures import resolve_sites
from breakers.refinement.ablated_harm import AblatedHarm
from breakers.refinement.ablation_report import report_ablation
from breakers.refinement.ablations import KINDS, make_ablation
from breakers.refinement.reference import mean_activations
from breakers.scoring import ScoredReply
from breakers.tracing.activations import capture
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import Judge
from breakers.training.batches import Sample

CIRCUIT = (head_site(0, 1), neuron_site(1, 3), head_site(2, 0))
CASES = make_cases(4)
REFERENCE = [Sample(prompt=tuple(range(10, 14 + n)), reply=(20 + n, 30, 2)) for n in range(3)]
TOKENS = 6


class FingerprintScorer:
    """Another number for nearly every text."""

    name = "fingerprint"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": fingerprint([int(word) for word in reply.reply.split()])} for reply in replies]


def fingerprint(ids: Sequence[int]) -> float:
    return sum((place + 1) * (token + 1) for place, token in enumerate(ids)) % 101 / 101


def ablated_harm(model) -> AblatedHarm:
    judge = Judge(
        scorer=FingerprintScorer(),
        behaviour="toxicity",
        decode=lambda ids: " ".join(map(str, ids)),
        messages=lambda _case: [{"role": "user", "content": "words"}],
    )
    return AblatedHarm(model, resolve_sites(model), GenerationConfig(end=END, max_new_tokens=TOKENS), judge)


def values(kind, model, sites, ablation, case, site) -> torch.Tensor:
    """(offset, d): what stands in the site's place."""
    if kind == "zero":
        return torch.zeros(TOKENS, len(sites.channels(site)))
    if kind == "mean":
        return mean_activations(model, sites, REFERENCE, [site])[site].repeat(TOKENS, 1)
    partner = ablation.partner(case.pair.harmful)
    z = capture(model, sites, torch.tensor([partner.prompt + partner.reply]), [site.hook_point])[site.hook_point][0]
    own = z[len(partner.prompt) - 1 : len(partner) - 1, sites.channels(site)]
    return torch.stack([own[min(offset, len(own) - 1)] for offset in range(TOKENS)])


@pytest.mark.parametrize("kind", KINDS)
def test_replies_are_those_of_the_slow_way(kind) -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    harm_of = ablated_harm(model)
    ablation = make_ablation(kind, model, sites, CIRCUIT, REFERENCE)
    wanted = []
    for case in CASES:
        replaced = {site: values(kind, model, sites, ablation, case, site) for site in CIRCUIT}
        wanted.append(fingerprint(greedy_reply(model, sites, case.prompt, replaced, END, TOKENS)))
    assert harm_of(ablation, CASES).tolist() == pytest.approx(wanted)
    untouched = [fingerprint(greedy_reply(model, sites, case.prompt, {}, END, TOKENS)) for case in CASES]
    assert harm_of(None, CASES).tolist() == pytest.approx(untouched)
    assert wanted != untouched


def test_the_report_has_it() -> None:
    model = tiny_model("llama")
    ablation = make_ablation("zero", model, resolve_sites(model), CIRCUIT, [])
    harm_of = ablated_harm(model)
    found = report_ablation(model, ablation, CASES, [], reference="none", harm_of=harm_of, seed=0, resamples=50)
    assert found.harm.value == pytest.approx(float(harm_of(ablation, CASES).mean()))
    assert found.harm_change.value == pytest.approx(float((harm_of(ablation, CASES) - harm_of(None, CASES)).mean()))
