"""Packing: the tokens of many requests as one row [1, T], decode rows first, then prefill spans.

A packed batch is built once a forward and holds everything that attention needs to tell requests apart. Masks
are made on first use, once for all layers that share a sliding window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from server.engines.embedded.cache import SlotCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Consecutive tokens of one request that a forward processes: one token to decode, or a prefill span."""

    slot: int
    start: int
    """Position of the first token."""
    token_ids: Sequence[int]
    wants_logits: bool
    """Whether the last token's logits are needed."""
    wants_all_logits: bool = False
    """Whether every token's are."""

    @property
    def end(self) -> int:
        """Position after the last token."""
        return self.start + len(self.token_ids)

    @property
    def logit_rows(self) -> int:
        """Rows of logits that a forward gives it."""
        return len(self.token_ids) if self.wants_all_logits else int(self.wants_logits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a prefill span lies in the packed row."""

    slot: int
    start: int
    length: int
    offset: int
    """Row of its first token."""


class PackedBatch:
    """One forward's tokens. Immutable but for its caches."""

    def __init__(
        self,
        decode: Sequence[Work],
        prefill: Sequence[Work],
        *,
        cache: SlotCache,
        rows_apart: bool = False,
        pad_to: int | None = None,
    ) -> None:
        """Pack.

        Args:
            decode: one token each, in order of their slots; consecutive ones are fastest.
            prefill: spans, in any slots.
            cache: where keys and values go.
            rows_apart: attend each decode row alone, over its own length only, so that no bit of its result
                depends on the others.
            pad_to: pad the row to this many tokens; padding writes to the scratch slot and attends to nothing.
                Decode rows then all get logits, so that the shape of every product is fixed.
        """
        works = [*decode, *prefill]
        tokens = [token for work in works for token in work.token_ids]
        positions = [position for work in works for position in range(work.start, work.end)]
        slots = [work.slot for work in works for _ in work.token_ids]
        cache.reserve(max(work.end for work in works))
        padding = 0 if pad_to is None else pad_to - len(tokens)
        self.cache = cache
        self.rows_apart = rows_apart
        self.real_tokens = len(tokens)
        self.decode_rows = len(decode)
        self.decode_slots = tuple(work.slot for work in decode)
        self.cache_rows = _cache_rows(self.decode_slots)
        """The decode rows' slots as an index into the cache."""
        self.decode_ends = [work.end for work in decode]
        self.spans = _spans(prefill, len(decode))
        device = cache.device
        self.host_slots = torch.tensor(slots + [cache.scratch] * padding)
        self.host_positions = torch.tensor(positions + [0] * padding)
        self.input_ids: Int[Tensor, "1 token"] = torch.tensor([tokens + [0] * padding], device=device)
        self.slots: Int[Tensor, " token"] = self.host_slots.to(device)
        self.positions: Int[Tensor, " token"] = self.host_positions.to(device)
        kept = _logit_rows(decode, self.spans, prefill)
        self.logits_wanted = len(kept)
        """Rows of logits that belong to works, in the order of the works that want them; the rest is padding."""
        if padding and decode:
            kept = list(range(len(tokens) + padding))
        self.logit_rows: Int[Tensor, " row"] = torch.tensor(kept, dtype=torch.long, device=device)
        self.layers_seen: set[int] = set()
        """Layers whose attention came through our interface in this forward."""
        self._flat: dict[int, Tensor] = {}
        self._masks: dict[tuple[int | None, Span | None], Tensor] = {}

    @property
    def tokens(self) -> int:
        """Rows of the packed batch, padding included."""
        return self.input_ids.shape[1]

    @property
    def longest(self) -> int:
        """Keys that the decode attention reads: the longest decode row's."""
        return max(self.decode_ends)

    def flat_index(self, kv_heads: int) -> Int[Tensor, " rows"]:
        """Cache rows that this batch writes."""
        if kv_heads not in self._flat:
            self._flat[kv_heads] = self.cache.flat_index(kv_heads, self.slots, self.positions)
        return self._flat[kv_heads]

    def decode_mask(self, window: int | None, dtype: torch.dtype) -> Float[Tensor, "row 1 1 key"] | None:
        """0 where a decode row may look and minus infinity elsewhere; None where all of them see every key."""
        longest = self.longest
        if min(self.decode_ends) == longest and (window is None or longest <= window):
            return None
        key = (window, None)
        if key not in self._masks:
            ends = self.positions[: self.decode_rows, None] + 1
            keys = torch.arange(longest, device=ends.device)
            hidden = keys >= ends
            if window is not None:
                hidden |= keys < ends - window
            self._masks[key] = _additive(hidden, dtype)[:, None, None, :]
        return self._masks[key]

    def span_mask(self, span: Span, first_key: int, window: int | None, dtype: torch.dtype) -> Float[Tensor, "q key"]:
        """Causal mask of a span's queries over the keys from `first_key` to the span's end."""
        key = (window, span)
        if key not in self._masks:
            device = self.positions.device
            queries = torch.arange(span.start, span.start + span.length, device=device)[:, None]
            keys = torch.arange(first_key, span.start + span.length, device=device)
            hidden = keys > queries
            if window is not None:
                hidden |= keys <= queries - window
            self._masks[key] = _additive(hidden, dtype)
        return self._masks[key]


def _cache_rows(slots: tuple[int, ...]) -> slice | list[int]:
    """A slice copies nothing; slots have gaps only where a step is split between versions of the bank."""
    if not slots or slots[-1] - slots[0] == len(slots) - 1:
        return slice(slots[0], slots[-1] + 1) if slots else slice(0)
    return list(slots)


def _spans(prefill: Sequence[Work], offset: int) -> tuple[Span, ...]:
    spans = []
    for work in prefill:
        spans.append(Span(slot=work.slot, start=work.start, length=len(work.token_ids), offset=offset))
        offset += len(work.token_ids)
    return tuple(spans)


def _logit_rows(decode: Sequence[Work], spans: Sequence[Span], prefill: Sequence[Work]) -> list[int]:
    ends = [span.offset + span.length for span in spans]
    wanted = [range(end - work.logit_rows, end) for end, work in zip(ends, prefill, strict=True)]
    return [*range(len(decode)), *(row for rows in wanted for row in rows)]


def _additive(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -math.inf)
