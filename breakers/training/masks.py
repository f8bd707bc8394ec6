"""Pruning masks over neurons, chosen greedily by first-order attribution.

The keep factor of every neuron is a variable at 1; the gradient of the losses with respect to it is what removing
that neuron would change, to first order. A few neurons go at a time and the gradient is taken anew.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import BankEntry, Scope
from breakers.errors import InterventionError
from breakers.interventions import Mask
from breakers.sites import Component, Site
from breakers.training.batches import Batch, Pair, Sample, collate
from breakers.training.forward import steered_logits
from breakers.training.losses import mean_logprob

_NAME = "mask"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSelectionConfig:
    """How to choose neurons."""

    neurons: int = 64
    """How many to prune."""
    per_round: int = 8
    batch_pairs: int = 64
    batch_benign: int = 64
    preserve_coef: float = 1.0
    """Weight of a neuron's use on benign replies against its use for harm."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.neurons < 1 or self.per_round < 1:
            raise InterventionError(f"{self.neurons} neurons, {self.per_round} a round; wanted at least one of each")


def select_masks(
    model: PreTrainedModel,
    sites: ModelSites,
    config: MaskSelectionConfig,
    pairs: Sequence[Pair],
    benign: Sequence[Sample],
) -> tuple[Mask, ...]:
    """Neurons whose removal favours the neutral replies, one mask per layer that has any.

    Args:
        model: the base model; not changed.
        sites: of that model; it must have neuron sites.
        config: see there.
        pairs: harmful and neutral replies to the same prompts.
        benign: replies that should stay as likely as they are.

    Raises:
        InterventionError: the model has no neuron sites, or too few neurons or pairs.
    """
    if sites.d_mlp is None:
        raise InterventionError(f"{sites.model_type} has no neuron sites of one width: {sites.no_neurons}")
    if not pairs or not benign or config.neurons > sites.layers * sites.d_mlp:
        raise InterventionError(
            f"{len(pairs)} pairs, {len(benign)} benign samples, {config.neurons} neurons of "
            f"{sites.layers * sites.d_mlp}; wanted at least one pair and one sample, and that many neurons"
        )
    draw = random.Random(config.seed)
    keep = torch.ones(sites.layers, sites.d_mlp)
    flags = [p.requires_grad for p in model.parameters()]
    model.requires_grad_(False)
    try:
        while (left := config.neurons - int((keep == 0).sum())) > 0:
            gain = _gain(model, sites, config, keep, draw, pairs, benign)
            gain[keep == 0] = -torch.inf
            keep.view(-1)[gain.flatten().topk(min(left, config.per_round)).indices] = 0
    finally:
        for parameter, flag in zip(model.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)
    return _pruned(keep)


def _gain(
    model: PreTrainedModel,
    sites: ModelSites,
    config: MaskSelectionConfig,
    keep: Tensor,
    draw: random.Random,
    pairs: Sequence[Pair],
    benign: Sequence[Sample],
) -> Tensor:
    """(layer, d_mlp): lead of the neutral replies won by removing a neuron, less what benign replies would lose."""
    some = draw.sample(list(pairs), min(config.batch_pairs, len(pairs)))
    kept = draw.sample(list(benign), min(config.batch_benign, len(benign)))
    pad = int(model.config.get_text_config().pad_token_id or 0)
    both = collate([p.neutral for p in some] + [p.harmful for p in some], pad)
    factor = keep.clone().requires_grad_()
    logprobs = mean_logprob(_logits(model, sites, factor, both), both)
    lead = (logprobs[: len(some)] - logprobs[len(some) :]).mean()
    (towards_neutral,) = torch.autograd.grad(lead, factor)
    batch = collate(kept, pad)
    factor = keep.clone().requires_grad_()
    likelihood = mean_logprob(_logits(model, sites, factor, batch), batch).mean()
    (used,) = torch.autograd.grad(likelihood, factor)
    # Removing is a step of -1 along the keep factor.
    gain: Tensor = -towards_neutral - config.preserve_coef * used.abs()
    return gain


def _logits(model: PreTrainedModel, sites: ModelSites, factor: Tensor, batch: Batch) -> Tensor:
    everything = tuple(range(factor.shape[1]))
    masks = tuple(
        Mask(site=Site(layer=layer, component=Component.NEURON, neurons=everything), keep=factor[layer])
        for layer in range(factor.shape[0])
    )
    entry = BankEntry(name=_NAME, scope=Scope.GENERATION, interventions=masks)
    return steered_logits(model, sites, [entry], batch, torch.ones(len(batch.ids), 1))


def _pruned(keep: Tensor) -> tuple[Mask, ...]:
    masks = []
    for layer, row in enumerate(keep):
        neurons = tuple((row == 0).nonzero().flatten().tolist())
        if neurons:
            site = Site(layer=layer, component=Component.NEURON, neurons=neurons)
            masks.append(Mask(site=site, keep=torch.zeros(len(neurons))))
    return tuple(masks)
