"""Exact patching against TransformerLens: someone else's hooks, whole runs, one case at a time."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tiny import tiny_model
from traced import make_cases
from transformers import AutoTokenizer

from breakers.architectures import resolve_sites
from breakers.demo import model_path
from breakers.sites import Component, Site
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, TraceCase
from breakers.tracing.patching import exact_effects
from breakers.training.batches import Sample

CASES = make_cases(3, seed=5)


@pytest.fixture(params=["gpt2", "llama"])
def bridged(request, tmp_path):
    """The same weights twice: ours, and TransformerLens' own copy."""
    from transformer_lens.model_bridge import TransformerBridge

    ours = tiny_model(request.param)
    ours.save_pretrained(tmp_path)
    # It wants a tokenizer, which is not used here: any will do.
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    theirs = tiny_model(request.param)
    return ours, TransformerBridge.boot_transformers(
        str(tmp_path), hf_model=theirs, tokenizer=tokenizer, device="cpu"
    )


def hook_of(site: Site) -> tuple[str, int]:
    """TransformerLens' name of a component, and its index there."""
    if site.component is Component.HEAD:
        return f"blocks.{site.layer}.attn.hook_z", site.head
    return f"blocks.{site.layer}.mlp.out.hook_in", site.neurons[0]


def replace(z, hook, *, index: int, start: int, source):
    z = z.clone()
    z[:, start:, index] = source[:, start:, index]
    return z


@torch.no_grad()
def mean_logprob(bridge, case: TraceCase, sample: Sample, site: Site | None) -> float:
    """Of the completion, with a component taken from the contrast run from the last prompt token on."""
    tokens = torch.tensor([sample.prompt + sample.reply])
    start = len(sample.prompt) - 1
    hooks = []
    if site is not None:
        name, index = hook_of(site)
        _, cache = bridge.run_with_cache(torch.tensor([case.contrast + sample.reply]), names_filter=[name])
        hooks = [(name, partial(replace, index=index, start=start, source=cache[name]))]
    logprobs = bridge.run_with_hooks(tokens, fwd_hooks=hooks, return_type="logits")[0].log_softmax(-1)
    return float(logprobs[start:-1].gather(1, tokens[0, start + 1 :, None]).mean())


@pytest.mark.slow
def test_effects_agree(bridged) -> None:
    model, bridge = bridged
    sites = resolve_sites(model)
    heads = [head_site(layer, head) for layer in range(sites.layers) for head in range(sites.heads)]
    neurons = [neuron_site(layer, neuron) for layer in range(sites.layers) for neuron in (0, 7, 40)]
    found = exact_effects(LeadMeasure(model, sites, PatchConfig()), CASES, heads + neurons)

    def lead(case: TraceCase, site: Site | None) -> float:
        return mean_logprob(bridge, case, case.pair.harmful, site) - mean_logprob(
            bridge, case, case.pair.neutral, site
        )

    wanted = torch.tensor([[lead(case, None) - lead(case, site) for site in found.sites] for case in CASES])
    torch.testing.assert_close(found.by_case, wanted, atol=1e-4, rtol=0)
    assert (wanted.abs().max(0).values > 1e-3).sum() > len(heads)
