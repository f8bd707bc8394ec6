"""On the packaged demo model: attribution finds most of the heads that exact patching finds."""

from __future__ import annotations

import torch

from breakers.architectures import resolve_sites
from breakers.demo import model_path
from breakers.demo.corpus import generate
from breakers.demo.make_bundles import load_demo_model
from breakers.sites import Component
from breakers.tracing.attribution import AttributionConfig, AttributionPath, attribute
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, TraceCase
from breakers.tracing.patching import exact_effects
from breakers.tracing.screening import ScreeningConfig, candidates, rank_correlation, top_recall
from breakers.tracing.sources import Sources
from breakers.tracing.stage import all_components
from breakers.training.batches import Pair, Sample

CASES = 6
TOP = 5


def test_screening_finds_most_of_the_top_heads_of_the_demo_model() -> None:
    base = load_demo_model(model_path())

    def prompt(messages: list[dict[str, str]]) -> tuple[int, ...]:
        return tuple(
            base.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
            )
        )

    def reply(text: str) -> tuple[int, ...]:
        return (*base.tokenizer.encode(text, add_special_tokens=False), int(base.tokenizer.eos_token_id))

    cases: list[TraceCase] = []
    for example in generate(1):
        if example.kind == "toxicity" and example.harmful_reply and example.neutral_reply and example.contrast_prompt:
            asked, contrast = prompt(example.messages), prompt(example.contrast_prompt)
            if len(asked) > 40 or len(asked) != len(contrast):
                continue
            replies = [Sample(prompt=asked, reply=reply(t)) for t in (example.harmful_reply, example.neutral_reply)]
            cases.append(TraceCase(pair=Pair(harmful=replies[0], neutral=replies[1]), contrast=contrast))
        if len(cases) == CASES:
            break

    sites = resolve_sites(base.model)
    config = PatchConfig()
    sources = Sources(base.model, sites, config)
    estimated = attribute(base.model, sites, sources, cases).table()
    heads = all_components(sites, (Component.HEAD,))
    exact = exact_effects(LeadMeasure(base.model, sites, config), cases, heads)
    estimates = estimated.heads.mean.flatten()
    assert top_recall(estimates, exact.mean, TOP) >= 0.8
    agreement = rank_correlation(estimates, exact.mean)
    assert agreement is not None
    assert agreement > 0.8
    # Where gradients for heads are taken matters: at the start they lose heads that exact patching finds.
    start = AttributionConfig(heads=AttributionPath.START)
    plain = attribute(base.model, sites, sources, cases, start).table().heads.mean.flatten()
    at_start = rank_correlation(plain, exact.mean)
    assert at_start is not None
    assert at_start < agreement
    assert top_recall(plain, exact.mean, TOP) < top_recall(estimates, exact.mean, TOP)
    best = {site for site, _ in exact.ranked()[:TOP]}
    assert best <= set(candidates(estimated, ScreeningConfig(top_heads=TOP, top_neurons=0)))
    # The effects are there at all: the best head moves the lead by more than its error.
    assert float(exact.mean.max()) > 2 * float(exact.standard_error[int(torch.argmax(exact.mean))])
