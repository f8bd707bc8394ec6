"""The slot cache: keys and values of every running request, one fixed region a slot.

Slots are never shared; what requests may share is copied (see `prefix`). A released slot is zeroed, so that what one
request leaves behind (a NaN, say, which survives multiplication with a zero attention weight) can never reach the
next one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

FIRST_CAPACITY = 256
"""Positions that a growing cache begins with."""


class SlotCache:
    """Keys and values by layer, each [slots + 1, kv heads, capacity, head dim]; the last slot is scratch."""

    def __init__(
        self, *, slots: int, max_length: int, device: torch.device, dtype: torch.dtype, grows: bool = False
    ) -> None:
        """Allocate nothing yet.

        Args:
            slots: requests that run at once.
            max_length: positions of a slot, at most.
            device: where the memory is.
            dtype: of keys and values.
            grows: begin with short slots and double them when a request needs it. Short slots lie close together,
                which attention over many of them feels; memory that is claimed late can be missing late.
        """
        self.max_length = max_length
        self._grows = grows
        self._capacity = min(FIRST_CAPACITY, max_length) if grows else max_length
        self.device = device
        self.dtype = dtype
        self.scratch = slots
        """Where padding rows write; nobody reads it."""
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(t.numel() * t.element_size() for t in self.tensors)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All keys, then all values, by layer; each (slot, kv head, position, head dim)."""
        return (*self._keys.values(), *self._values.values())

    def alike(self, *, slots: int, max_length: int) -> SlotCache:
        """An empty cache of the same kind."""
        return SlotCache(slots=slots, max_length=max_length, device=self.device, dtype=self.dtype)

    def write(
        self,
        layer: int,
        index: Int[Tensor, " rows"],
        key: Float[Tensor, "1 kv_head token d_key"],
        value: Float[Tensor, "1 kv_head token d_value"],
    ) -> tuple[Float[Tensor, "slot kv_head pos d_key"], Float[Tensor, "slot kv_head pos d_value"]]:
        """Store one forward's keys and values, and return the layer's whole cache.

        A layer's memory is allocated when it first writes, with the shape that the model really has; the
        self-check at load writes to every layer.

        Args:
            index: flat rows of [slot, kv head, position] in the order [kv head, token] (see `flat_index`).
        """
        if layer not in self._keys:
            self._keys[layer] = self._allocate(key)
            self._values[layer] = self._allocate(value)
        keys, values = self._keys[layer], self._values[layer]
        keys.view(-1, keys.shape[-1]).index_copy_(0, index, key.reshape(-1, keys.shape[-1]))
        values.view(-1, values.shape[-1]).index_copy_(0, index, value.reshape(-1, values.shape[-1]))
        return keys, values

    def reserve(self, length: int) -> None:
        """Make room for `length` positions in every slot, at most `max_length`."""
        if length > self._capacity:
            self._grow(min(self.max_length, max(length, 2 * self._capacity)))

    def _grow(self, capacity: int) -> None:
        held, self._capacity = self._capacity, capacity
        for store in (self._keys, self._values):
            for layer, old in store.items():
                store[layer] = self._allocate(old)
                store[layer][:, :, :held] = old[:, :, :held]

    @property
    def _stride(self) -> int:
        """Positions of memory between the heads of a slot. Odd: with a power of two all heads' first keys would
        compete for the same few lines of the processor's cache."""
        return self._capacity | 1

    def flat_index(
        self, kv_heads: int, slots: Int[Tensor, " token"], positions: Int[Tensor, " token"]
    ) -> Int[Tensor, " rows"]:
        """Flat rows of [slot, kv head, position] for a packed batch, in the order [kv head, token]."""
        heads = torch.arange(kv_heads, device=slots.device)[:, None]
        return ((slots * kv_heads + heads) * self._stride + positions).flatten()

    def move(self, source: int, target: int, length: int) -> None:
        """Compaction: copy the first `length` positions of a slot; the source is zeroed."""
        # One call for all layers: indexing each costs more than copying what short requests hold.
        if self._keys:
            torch._foreach_copy_(self._positions(target, length), self._positions(source, length))
        self.clear(source, length)

    def clear(self, slot: int, length: int) -> None:
        """Zero the first `length` positions of a slot."""
        if self._keys:
            torch._foreach_zero_(self._positions(slot, length))

    def _positions(self, slot: int, length: int) -> list[Tensor]:
        """The first `length` positions of a slot, of every layer's keys and values."""
        # The last token of a reply was never processed, and may be the first for which there is no room.
        return [stored.select(0, slot).narrow(1, 0, min(length, stored.shape[2])) for stored in self.tensors]

    def _allocate(self, like: Tensor) -> Tensor:
        shape = (self.scratch + 1, like.shape[1], self._stride, like.shape[3])
        return torch.zeros(shape, device=self.device, dtype=like.dtype)
