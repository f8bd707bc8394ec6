"""Mask selection on a model in which one neuron is known to cause the harm."""

import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.errors import InterventionError
from breakers.training.batches import Pair, Sample
from breakers.training.masks import MaskSelectionConfig, select_masks

HARMFUL, NEUTRAL = 20, 30


def planted_model():
    """Neuron 7 of the last layer is always on and pushes token 20 up."""
    model = tiny_model("llama")
    with torch.no_grad():
        mlp = model.model.layers[-1].mlp
        mlp.down_proj.weight[:, 7] = 4.0 * model.lm_head.weight[HARMFUL] / model.lm_head.weight[HARMFUL].norm()
        mlp.gate_proj.weight[7] = 0
        mlp.up_proj.weight[7] = 0
        handle = mlp.down_proj.register_forward_pre_hook(lambda _m, args: (_with_neuron_on(args[0]),))
    return model, handle


def _with_neuron_on(z):
    on = torch.zeros_like(z)
    on[..., 7] = 1.0
    return z + on


def test_the_planted_neuron_goes_first() -> None:
    model, _ = planted_model()
    words = [
        tuple(torch.randint(40, 90, (6,), generator=torch.Generator().manual_seed(n)).tolist()) for n in range(12)
    ]
    pairs = [
        Pair(harmful=Sample(prompt=w, reply=(HARMFUL, 2)), neutral=Sample(prompt=w, reply=(NEUTRAL, 2)))
        for w in words
    ]
    benign = [Sample(prompt=w, reply=(50, 2)) for w in words]
    # With a batch as large as the data the draw does not matter.
    config = MaskSelectionConfig(neurons=1, per_round=1, preserve_coef=0.0)
    (mask,) = select_masks(model, resolve_sites(model), config, pairs, benign)
    assert (mask.site.layer, mask.site.neurons) == (2, (7,))
    assert mask.keep.tolist() == [0.0]
    assert all(p.requires_grad for p in model.parameters())


def test_models_without_neurons_and_empty_data_are_refused() -> None:
    mixture = tiny_model("mixtral")
    with pytest.raises(InterventionError, match="no neuron sites"):
        select_masks(mixture, resolve_sites(mixture), MaskSelectionConfig(), [], [])
    llama = tiny_model("llama")
    with pytest.raises(InterventionError, match="0 pairs, 0 benign samples"):
        select_masks(llama, resolve_sites(llama), MaskSelectionConfig(), [], [])
