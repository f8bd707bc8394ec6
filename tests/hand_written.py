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

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from breakers.architectures import ModelSites, resolve_sites
from breakers.sites import Site
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.patches import TraceCase
from breakers.training.batches import Pair, Sample

PAD, BOS, END, RUDE, KIND, GO, HARM, NEUTRAL = range(8)
ROOT8 = math.sqrt(8)
HEAD, NEURON = head_site(0, 1), neuron_site(1, 0)


def hand_written() -> tuple[LlamaForCausalLM, ModelSites]:
    """The model and its sites."""
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
    """A rude prompt with so many BOS, and its kind contrast."""
    prompt = (*[BOS] * bos, RUDE, GO)
    pair = Pair(harmful=Sample(prompt=prompt, reply=(HARM, END)), neutral=Sample(prompt=prompt, reply=(NEUTRAL, END)))
    return TraceCase(pair=pair, contrast=(*[BOS] * bos, KIND, GO))


def everything(sites: ModelSites) -> list[Site]:
    """Every head and every neuron."""
    heads = [head_site(layer, head) for layer in range(2) for head in range(2)]
    return heads + [neuron_site(layer, neuron) for layer in range(2) for neuron in range(2)]


def lead(bos: int, *, head: bool, neuron: bool) -> float:
    """By hand, with the head and the neuron as they are or as under the contrast prompt."""
    tokens = bos + 2
    a = ROOT8 / tokens if head else 0.0
    square = (8 + a**2 + (ROOT8 * bos / tokens) ** 2) / 8
    b = 11 / 24 * ROOT8 * a / square if neuron else 0.0
    return (3 * a / ROOT8 + b - 0.5) / math.sqrt(square + b**2 / 8) / 2
