"""Bundles and models for the export tests: biases on, everything overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from serving.bundles import made_up_bundle
from tiny import VOCAB, hash_name, tiny_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.bank import Bank, Scope
from breakers.bundles import Bundle
from breakers.bundles.store import describe_interventions
from breakers.exports.base import ExportBase, ExportResult, ExportSpec
from breakers.exports.export import export_bundle
from breakers.exports.formats import ExportFormat
from breakers.fingerprint import fingerprint_model
from breakers.interventions import Breaker, Intervention, Mask, SteeringVector
from breakers.runtime import TorchRuntime
from breakers.sites import Component, Site

IDS = torch.randint(3, VOCAB, (2, 9), generator=torch.Generator().manual_seed(1))
TOLERANCE = 1e-4

MODELS = ("llama", "llama-biases", "gpt2", "gemma3_text", "mixtral")
"""GQA; biases on the projections; Conv1D with biases; norms after the projections; no neuron sites."""


def export_model(kind: str, seed: int = 0) -> PreTrainedModel:
    """A tiny random model whose biases are not zero."""
    model = biased_llama() if kind == "llama-biases" else tiny_model(kind, seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or weight.ndim >= 2:
                weight.normal_(0, 0.25, generator=torch.Generator().manual_seed(hash_name(name, seed)))
    return model


def biased_llama() -> PreTrainedModel:
    """A Llama with `attention_bias` and `mlp_bias`."""
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attention_bias=True,
        mlp_bias=True,
    )
    return LlamaForCausalLM(config).eval()


def head(layer: int, index: int) -> Site:
    return Site(layer=layer, component=Component.HEAD, head=index)


def neurons(layer: int, *indices: int) -> Site:
    return Site(layer=layer, component=Component.NEURON, neurons=indices)


def resid(layer: int) -> Site:
    return Site(layer=layer, component=Component.RESID)


def breaker(site: Site, width: int, rank: int = 2, seed: int = 0) -> Breaker:
    random = torch.Generator().manual_seed(seed)
    down, up = torch.randn(rank, width, generator=random), torch.randn(width, rank, generator=random)
    return Breaker(site=site, down=down, up=0.3 * up)


def vector(site: Site, width: int, seed: int = 0) -> SteeringVector:
    return SteeringVector(site=site, vector=torch.randn(width, generator=torch.Generator().manual_seed(seed)))


def mask(site: Site, *keep: float) -> Mask:
    return Mask(site=site, keep=torch.tensor(keep))


def everything(model: PreTrainedModel) -> list[Intervention]:
    """Masks and breakers at heads, and at neurons where there are any; several of each overlap."""
    sites = resolve_sites(model)
    d, last = sites.d_head, sites.heads - 1
    found: list[Intervention] = [
        breaker(head(0, 1), d, seed=1),
        breaker(head(0, 1), d, rank=1, seed=2),
        mask(head(0, 1), *([0.0, 0.5, 1.0, 0.25] * d)[:d]),
        mask(head(0, 1), *([0.75, 0.25, 1.0, 1.0] * d)[:d]),
        mask(head(0, last), *([0.0] * d)),
        breaker(head(2, 0), d, rank=3, seed=3),
    ]
    if sites.d_mlp is not None:
        found += [
            breaker(neurons(1, 2, 5, 40), 3, seed=4),
            breaker(neurons(1, 5, 6), 2, rank=1, seed=5),
            mask(neurons(1, 5, 7), 0.0, 0.5),
            mask(neurons(2, 0, 1, 2), 0.0, 1.0, 0.0),
        ]
    return found


def bundle_of(
    model: PreTrainedModel,
    interventions: Sequence[Intervention],
    *,
    strength_max: float = 1.0,
    scope: Scope = Scope.ALL,
) -> Bundle:
    """A bundle of several interventions, made on `model`."""
    first = made_up_bundle(
        "calm", interventions[0], fingerprint=fingerprint_model(model), strength_max=strength_max, scope=scope
    )
    declared, _ = describe_interventions(interventions)
    manifest = first.manifest.model_copy(update={"interventions": declared})
    return Bundle(manifest=manifest, interventions=tuple(interventions), source="made up")


@torch.no_grad()
def served_logits(model: PreTrainedModel, bundle: Bundle, strength: float) -> Tensor:
    """What our runtime computes with the bundle on every token."""
    entry = bundle.bank_entry()
    runtime = TorchRuntime(model, Bank(resolve_sites(model), [entry]))
    # generation_start 0: every token, whatever the scope.
    with runtime.steering({entry.name: strength}, generation_start=0):
        logits: Tensor = model(input_ids=IDS).logits
    return logits


def export(model: PreTrainedModel, bundle: Bundle, out: Path, format: ExportFormat, **spec: object) -> ExportResult:
    """Export from a model in memory."""
    base = ExportBase(model=model, name="tiny")
    return export_bundle(bundle, base, out, ExportSpec(format=format, **spec))
