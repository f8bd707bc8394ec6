"""Keys and values of a batch's common first positions, computed once and read by many runs on copies of the batch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


class SharedPrefix(DynamicCache):  # type: ignore[misc]
    """A filled cache that is read and never written: a run's own keys and values are kept for that run only.

    The rows of a run are whole copies of the batch, one after the other: row n reads the prefix of row n modulo
    the batch's size.
    """

    def __init__(self, filled: DynamicCache) -> None:
        """`filled`: after a forward pass of the prefix; sliding layers may have dropped what they no longer need."""
        super().__init__()
        self.layers = filled.layers

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """The prefix and the run's own states, joined along positions; transformers names the arguments."""
        layer = self.layers[layer_idx]
        return _joined(layer.keys, key_states), _joined(layer.values, value_states)


def empty_cache(model: PreTrainedModel) -> DynamicCache:
    """A cache for the model's kinds of layers, to be filled."""
    return DynamicCache(config=model.config)


def _joined(
    prefix: Float[Tensor, "batch head before width"], own: Float[Tensor, "row head pos width"]
) -> Float[Tensor, "row head all width"]:
    copies = torch.unflatten(own, 0, (-1, len(prefix)))
    return torch.cat([prefix.expand(len(copies), *prefix.shape), copies], -2).flatten(0, 1)
