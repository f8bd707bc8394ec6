"""Ablations against the slow way: one run at a time, hooks on the projections, position by position."""

from __future__ import annotations

import functools

import pytest
import torch
from replaced import replaced
from tiny import tiny_model
from traced import make_cases

from breakers.architectures import resolve_sites
from breakers.errors import SiteError, TracingError
from breakers.refinement.ablation_report import leads, reply_change, report_ablation
from breakers.refinement.ablations import KINDS, make_ablation
from breakers.refinement.reference import activation_norms
from breakers.sites import Component, Site
from breakers.tracing.activations import capture
from breakers.tracing.effects import head_site, neuron_site
from breakers.training.batches import Sample, collate

CIRCUIT = (head_site(0, 1), neuron_site(1, 3), neuron_site(1, 0), head_site(2, 0))
CASES = make_cases(5)
REFERENCE = [Sample(prompt=tuple(range(10, 14 + n)), reply=(20 + n, 30, 2)) for n in range(3)]


def recorded(model, sites, sample: Sample, site: Site) -> torch.Tensor:
    """(target, d) of one run."""
    ids = torch.tensor([sample.prompt + sample.reply])
    z = capture(model, sites, ids, [site.hook_point])[site.hook_point][0]
    return z[len(sample.prompt) - 1 : len(sample) - 1, sites.channels(site)]


def slow_mean_logprob(model, sites, sample: Sample, replacements) -> float:
    """`replacements`: site -> (target, d)."""
    start, ids = len(sample.prompt) - 1, torch.tensor([sample.prompt + sample.reply])
    with torch.no_grad(), replaced(sites, start, replacements):
        logprobs = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
    return float(torch.stack([logprobs[at, ids[0, at + 1]] for at in range(start, len(sample) - 1)]).mean())


def replacement(kind, model, sites, ablation, sample: Sample, site: Site) -> torch.Tensor:
    targets = len(sample.reply)
    if kind == "zero":
        return torch.zeros(targets, len(sites.channels(site)))
    if kind == "mean":
        return torch.cat([recorded(model, sites, other, site) for other in REFERENCE]).mean(0).repeat(targets, 1)
    own = recorded(model, sites, ablation.partner(sample), site)
    return torch.stack([own[min(place, len(own) - 1)] for place in range(targets)])


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_what_it_says(model_type: str, kind) -> None:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    ablation = make_ablation(kind, model, sites, CIRCUIT, REFERENCE)

    @functools.cache
    def slow(sample: Sample) -> float:
        wanted = {site: replacement(kind, model, sites, ablation, sample, site) for site in CIRCUIT}
        return slow_mean_logprob(model, sites, sample, wanted)

    wanted = [slow(case.pair.harmful) - slow(case.pair.neutral) for case in CASES]
    untouched = leads(lambda _rows, batch: _plain(model, batch), CASES)
    found = leads(ablation.logits, CASES)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-4, rtol=0.0)
    assert (found - untouched).abs().max() > 0.01
    samples = [case.pair.neutral for case in CASES]
    change = reply_change(model, ablation, samples)
    before = [slow_mean_logprob(model, sites, sample, {}) for sample in samples]
    assert change.logprob.tolist() == pytest.approx(
        [slow(s) - b for s, b in zip(samples, before, strict=True)], abs=1e-4
    )
    assert (change.kl > 0).all()
    # Nothing stays behind.
    assert not any(module._forward_pre_hooks for module in model.modules())


def _plain(model, batch):
    return model(input_ids=batch.ids, use_cache=False).logits[batch.targets]


def test_kl_is_that_of_the_two_distributions() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    ablation = make_ablation("zero", model, sites, CIRCUIT, [])
    sample = CASES[0].pair.harmful
    batch = collate([sample], 0)
    with torch.no_grad():
        p, q = _plain(model, batch).softmax(-1), ablation.logits([sample], batch).softmax(-1)
    wanted = (p * (p / q).log()).sum(-1).mean()
    assert float(reply_change(model, ablation, [sample]).kl) == pytest.approx(float(wanted), abs=1e-5)


def test_the_report_of_one_ablation() -> None:
    model = tiny_model("llama")
    ablation = make_ablation("zero", model, resolve_sites(model), CIRCUIT, [])
    found = report_ablation(model, ablation, CASES, REFERENCE, reference="none", seed=0, resamples=100)
    before = leads(lambda _rows, batch: _plain(model, batch), CASES).mean()
    assert found.kind == "zero"
    assert found.lead.value - found.lead_change.value == pytest.approx(float(before), abs=1e-5)
    assert found.benign.samples == 3
    assert found.benign.kl.low > 0
    assert report_ablation(model, ablation, CASES, [], reference="none", seed=0, resamples=100).benign is None


def test_partners_belong_to_other_prompts_and_repeat() -> None:
    model = tiny_model("llama")
    ablation = make_ablation("resample", model, resolve_sites(model), CIRCUIT, REFERENCE)
    for case in CASES:
        assert ablation.partner(case.pair.harmful) == ablation.partner(case.pair.neutral)
    assert ablation.partner(REFERENCE[0]).prompt != REFERENCE[0].prompt
    with pytest.raises(TracingError, match="no sample with another prompt"):
        make_ablation("resample", model, resolve_sites(model), CIRCUIT, REFERENCE[:1]).partner(REFERENCE[0])


def test_what_cannot_be_ablated_is_refused() -> None:
    model = tiny_model("mixtral")
    sites = resolve_sites(model)
    routed = Site(layer=0, component=Component.NEURON, neurons=(1,), expert=0)
    with pytest.raises(TracingError, match="expert"):
        make_ablation("resample", model, sites, [routed], REFERENCE)
    with pytest.raises(TracingError, match="expert"):
        make_ablation("mean", model, sites, [routed], REFERENCE)
    with pytest.raises(SiteError):
        make_ablation("zero", model, sites, [head_site(0, 99)], [])
    for kind, circuit, words in (
        ("zero", [], "an empty circuit"),
        ("resample", CIRCUIT[:1], "no samples to resample"),
        ("mean", CIRCUIT[:1], "no samples to record"),
    ):
        with pytest.raises(TracingError, match=words):
            make_ablation(kind, model, sites, circuit, [])


def test_norms_of_components() -> None:
    model = tiny_model("gpt2")
    sites = resolve_sites(model)
    components = [head_site(1, 0), neuron_site(0, 5), head_site(0, 1)]
    found = activation_norms(model, sites, REFERENCE, components)
    for site, norm in zip(components, found, strict=True):
        z = torch.cat([recorded(model, sites, sample, site) for sample in REFERENCE])
        assert norm == pytest.approx(float(z.norm(dim=-1).mean()), rel=1e-4)
    with pytest.raises(TracingError, match="no single component"):
        activation_norms(model, sites, REFERENCE, [Site(layer=0, component=Component.NEURON, neurons=(0, 1))])
