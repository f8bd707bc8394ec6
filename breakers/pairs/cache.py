"""A cache that grows in blocks: transformers' own copies all earlier keys and values at every token."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_BLOCK = 16
"""Positions by which buffers grow."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """A plain layer of a cache whose keys and values are views of buffers with room for more positions."""

    def __init__(self, keys: Float[Tensor, "row head pos d_head"], values: Float[Tensor, "row head pos _"]):
        """Begin with what a plain layer holds; values may have another width than keys."""
        super().__init__()
        self.lazy_initialization(keys, values)
        self._buffers = [keys, values]
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append the states of new positions; the signature is transformers'."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for at, states in enumerate((key_states, value_states)):
            if end > self._buffers[at].shape[-2]:
                self._buffers[at] = _with_room(self._buffers[at][..., :start, :], end + _BLOCK)
            self._buffers[at][..., start:end, :] = states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows alone."""
        length = self.get_seq_length()
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[..., :length, :] for buffer in self._buffers)


def repeat_rows(cache: Cache, times: int) -> None:
    """Repeat each row of a filled cache, and give its plain layers room; others stay as they are."""
    cache.batch_repeat_interleave(times)
    for at, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.get_seq_length() > 0:
            cache.layers[at] = RoomyLayer(layer.keys, layer.values)


def _with_room(states: Tensor, length: int) -> Tensor:
    room = torch.empty(*states.shape[:-2], length, states.shape[-1], dtype=states.dtype, device=states.device)
    room[..., : states.shape[-2], :] = states
    return room
