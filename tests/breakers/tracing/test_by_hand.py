"""A Llama whose weights are written by hand, so that one head and one neuron cause the behaviour.

Every embedding has mean square 1 and every query is 0: a head averages its values over the tokens so far, and the
first norm changes nothing. At GO, n tokens into a prompt with one RUDE token:

    layer 0 head 1  writes  A = sqrt(8) / n            to channel 4, from RUDE
    layer 0 head 0  writes  D = sqrt(8) bos / n        to channel 6, from BOS, which the contrast prompt keeps
    layer 1 neuron 0 writes B = 11/24 sqrt(8) A / r^2  to channel 5, where r^2 = (8 + A^2 + D^2) / 8

and HARM is favoured by (3 A / sqrt(8) + B) / r', NEUTRAL by 0.5 / r', with r'^2 = r^2 + B^2 / 8. Other heads and
neurons hold activations that differ as well and write nothing. END is as likely after either, so that the lead is
half of the difference of those two logits. RUDE is KIND in the contrast prompt, where A and B are 0.
"""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from breakers.architectures import resolve_sites
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import HarmMeasure, Judge
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.patching import exact_effects
from breakers.tracing.sources import neutral_means
from breakers.training.batches import Pair, Sample

PAD, BOS, END, RUDE, KIND, GO, HARM, NEUTRAL = range(8)
ROOT8 = math.sqrt(8)
HEAD, NEURON = head_site(0, 1), neuron_site(1, 0)


@pytest.fixture(scope="module")
def built():
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=2, num_hidden_layers=2, num_attention_heads=2, head_dim=4,
        num_key_value_heads=2, max_position_embeddings=32, hidden_act="relu", rms_norm_eps=1e-12,
        tie_word_embeddings=False, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=END,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        for token, channel in {PAD: 0, BOS: 0, END: 0, RUDE: 1, KIND: 2, GO: 3, HARM: 3, NEUTRAL: 3}.items():
            model.model.embed_tokens.weight[token, channel] = ROOT8
        low, high = model.model.layers
        low.self_attn.v_proj.weight[0, 0] = 1.0  # head 0 reads BOS
        low.self_attn.o_proj.weight[6, 0] = 1.0
        low.self_attn.v_proj.weight[4, 1] = 1.0  # head 1 reads RUDE
        low.self_attn.o_proj.weight[4, 4] = 1.0
        low.mlp.gate_proj.weight[:, 4] = 1.0  # neurons that read A and write nothing
        low.mlp.up_proj.weight[:, 4] = 1.0
        high.self_attn.v_proj.weight[:, 4] = 1.0  # heads that read A and write nothing
        high.mlp.gate_proj.weight[:, 3] = 1.0  # GO, HARM and NEUTRAL switch the neurons on
        high.mlp.up_proj.weight[:, 4] = 1.0
        high.mlp.down_proj.weight[5, 0] = 11 / 24
        model.lm_head.weight[HARM, 4] = 3 / ROOT8
        model.lm_head.weight[HARM, 5] = 1.0
        model.lm_head.weight[NEUTRAL, 3] = 0.5 / ROOT8
    return model, resolve_sites(model)


def case(bos: int) -> TraceCase:
    prompt = (*[BOS] * bos, RUDE, GO)
    pair = Pair(harmful=Sample(prompt=prompt, reply=(HARM, END)), neutral=Sample(prompt=prompt, reply=(NEUTRAL, END)))
    return TraceCase(pair=pair, contrast=(*[BOS] * bos, KIND, GO))


def everything(sites) -> list:
    heads = [head_site(layer, head) for layer in range(2) for head in range(2)]
    return heads + [neuron_site(layer, neuron) for layer in range(2) for neuron in range(2)]


def lead(bos: int, *, head: bool, neuron: bool) -> float:
    """By hand, with the head and the neuron as they are or as under the contrast prompt."""
    tokens = bos + 2
    a = ROOT8 / tokens if head else 0.0
    square = (8 + a**2 + (ROOT8 * bos / tokens) ** 2) / 8
    b = 11 / 24 * ROOT8 * a / square if neuron else 0.0
    return (3 * a / ROOT8 + b - 0.5) / math.sqrt(square + b**2 / 8) / 2


def test_the_arithmetic_of_the_shortest_prompt() -> None:
    # A = D = sqrt(8) / 3, r^2 = 11 / 9, B = 1, r'^2 = 97 / 72.
    assert lead(1, head=True, neuron=True) == pytest.approx(0.75 / math.sqrt(97 / 72))
    assert lead(1, head=True, neuron=False) == pytest.approx(0.25 / math.sqrt(11 / 9))
    assert lead(1, head=False, neuron=False) == pytest.approx(-0.25 / math.sqrt(10 / 9))


@pytest.mark.parametrize("positions", Positions)
def test_tracing_finds_exactly_the_head_and_the_neuron_with_effects_as_by_hand(built, positions) -> None:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig(positions=positions))
    counts = (1, 2, 5)
    found = exact_effects(measure, [case(bos) for bos in counts], everything(sites))
    for row, bos in enumerate(counts):
        unpatched = lead(bos, head=True, neuron=True)
        wanted = {
            HEAD: unpatched - lead(bos, head=False, neuron=True),
            NEURON: unpatched - lead(bos, head=True, neuron=False),
        }
        for site, effect in zip(found.sites, found.by_case[row].tolist(), strict=True):
            assert effect == pytest.approx(wanted.get(site, 0.0), abs=1e-5), f"{site}, {bos} BOS"
    assert [site for site, _ in found.ranked()[:2]] == [HEAD, NEURON]
    assert not measure.fallback


def test_the_head_and_the_neuron_together_do_what_the_head_does(built) -> None:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig())
    values = measure([case(1)], [(), (HEAD,), (HEAD, NEURON)])[:, 0].tolist()
    wanted = [lead(1, head=True, neuron=True), *[lead(1, head=False, neuron=False)] * 2]
    assert values == pytest.approx(wanted, abs=1e-5)


def test_the_mean_of_kind_prompts_does_what_the_contrast_does(built) -> None:
    model, sites = built
    kind = Sample(prompt=(BOS, KIND, GO), reply=(NEUTRAL, END))
    points = sorted({site.hook_point for site in everything(sites)})
    means = neutral_means(model, sites, [kind, kind], points)
    measure = LeadMeasure(model, sites, PatchConfig(source=PatchSource.MEAN), means=means)
    found = exact_effects(measure, [case(1)], [HEAD])
    wanted = lead(1, head=True, neuron=True) - lead(1, head=False, neuron=True)
    assert found.mean.tolist() == pytest.approx([wanted], abs=1e-5)


def test_completions_that_read_alike_have_no_effect_by_completion(built) -> None:
    model, sites = built
    measure = LeadMeasure(model, sites, PatchConfig(source=PatchSource.COMPLETION))
    found = exact_effects(measure, [case(1), case(2)], everything(sites))
    assert not found.by_case.any()


class Blunt:
    """Harmful is whatever says HARM."""

    name = "blunt"
    behaviours = ("rude",)

    def score(self, replies):
        return [{"rude": float(str(HARM) in reply.reply)} for reply in replies]


def test_generated_text_turns_with_the_head_and_not_with_the_neuron_alone(built) -> None:
    model, sites = built
    judge = Judge(scorer=Blunt(), behaviour="rude", decode=str, messages=lambda case: [])
    measure = HarmMeasure(model, sites, PatchConfig(), GenerationConfig(end=END, max_new_tokens=1), judge)
    found = exact_effects(measure, [case(1), case(2)], everything(sites))
    # HARM leads by 2 lead: 0.45 still with the neuron patched and one BOS (0.15 with two), -0.47 with the head.
    assert lead(1, head=True, neuron=False) > 0
    assert lead(2, head=True, neuron=False) > 0
    assert found.by_case.tolist() == [[float(site == HEAD) for site in everything(sites)]] * 2
