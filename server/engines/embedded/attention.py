"""Attention over the slot cache, as an implementation that transformers models call by name.

One call for all decode rows, one causal call a prefill span; grouped queries, sliding windows, softcap and sinks
honoured. transformers builds no mask for an implementation without a mask function, so none is registered; a
mask that arrives all the same means a model that we do not understand, and fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from server.engines.embedded.batch import PackedBatch, Span

ATTENTION_NAME = "scalpel_slots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a layer asks of its attention."""

    scale: float
    window: int | None
    """Keys that a query sees, itself included; None for all."""
    softcap: float | None
    sinks: Float[Tensor, " head"] | None
    """A logit per head that takes part in the softmax and is then dropped."""

    @property
    def plain(self) -> bool:
        """Whether the fused kernel computes this."""
        return self.softcap is None and self.sinks is None


def register_attention() -> None:
    """Make the implementation known to transformers; doing it again changes nothing."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, slot_attention)


def slot_attention(
    module: nn.Module,
    query: Float[Tensor, "1 head token d_key"],
    key: Float[Tensor, "1 kv_head token d_key"],
    value: Float[Tensor, "1 kv_head token d_value"],
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Float[Tensor, " head"] | None = None,
    position_bias: Tensor | None = None,
    scalpel_batch: PackedBatch | None = None,
    **_unused: Any,
) -> tuple[Float[Tensor, "1 token head d_value"], None]:
    """The function that attention layers call; its signature is transformers'.

    Raises:
        RuntimeError: called outside an engine step, or with a mask or a position bias.
    """
    if scalpel_batch is None:
        raise RuntimeError("slot attention was called outside an engine step, or the model drops its arguments")
    if attention_mask is not None or position_bias is not None:
        raise RuntimeError("the model brings its own mask or position bias; slot attention would ignore it")
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # an int on every attention layer of transformers
    scalpel_batch.layers_seen.add(layer)
    keys, values = scalpel_batch.cache.write(layer, scalpel_batch.flat_index(key.shape[1]), key, value)
    rules = Rules(
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window,
        softcap=softcap,
        sinks=s_aux,
    )
    return attend_packed(scalpel_batch, query[0], keys, values, rules)[None], None


def attend_packed(
    batch: PackedBatch,
    query: Float[Tensor, "head token d_key"],
    keys: Float[Tensor, "slot kv_head pos d_key"],
    values: Float[Tensor, "slot kv_head pos d_value"],
    rules: Rules,
) -> Float[Tensor, "token head d_value"]:
    """Every token of a packed batch against its own request's keys; padding rows come out 0."""
    rows = batch.decode_rows
    if rows == batch.tokens and not batch.rows_apart:
        return _decode_together(batch, query, keys, values, rules)
    out = query.new_zeros(batch.tokens, query.shape[0], values.shape[-1])
    if rows and batch.rows_apart:
        _decode_apart(batch, query, keys, values, rules, out)
    elif rows:
        out[:rows] = _decode_together(batch, query[:, :rows], keys, values, rules)
    for span in batch.spans:
        end = span.offset + span.length
        out[span.offset : end] = _prefill(batch, span, query[:, span.offset : end], keys, values, rules)
    return out


def _decode_together(batch: PackedBatch, query: Tensor, keys: Tensor, values: Tensor, rules: Rules) -> Tensor:
    rows = batch.cache_rows
    longest = batch.longest
    # The query heads that share a key head become that head's queries: no key is copied.
    grouped = torch.unflatten(query.transpose(0, 1), 1, (keys.shape[1], -1))
    mask = batch.decode_mask(rules.window, query.dtype)
    out = _attend(grouped, keys[rows, :, :longest], values[rows, :, :longest], mask, rules, _sinks(rules, keys)[None])
    return out.flatten(1, 2)


def _decode_apart(batch: PackedBatch, query: Tensor, keys: Tensor, values: Tensor, rules: Rules, out: Tensor) -> None:
    sinks = _sinks(rules, keys)[None]
    for row, end in enumerate(batch.decode_ends):
        slot = batch.decode_slots[row]
        first = 0 if rules.window is None else max(0, end - rules.window)
        grouped = torch.unflatten(query[None, :, row], 1, (keys.shape[1], -1))
        seen = (slice(slot, slot + 1), slice(None), slice(first, end))
        out[row] = _attend(grouped, keys[seen], values[seen], None, rules, sinks).flatten(1, 2)[0]


def _prefill(batch: PackedBatch, span: Span, query: Tensor, keys: Tensor, values: Tensor, rules: Rules) -> Tensor:
    end = span.start + span.length
    first = 0 if rules.window is None else max(0, span.start - rules.window + 1)
    grouped = torch.unflatten(query, 0, (keys.shape[1], -1))
    shape = (-1, grouped.shape[1], -1, -1)
    seen_keys = keys[span.slot, :, None, first:end].expand(shape)
    seen_values = values[span.slot, :, None, first:end].expand(shape)
    sinks = _sinks(rules, keys)[..., None]
    whole = span.start == 0 and (rules.window is None or span.length <= rules.window)
    if whole and rules.plain:
        out = scaled_dot_product_attention(grouped, seen_keys, seen_values, is_causal=True, scale=rules.scale)
    elif span.length == 1:
        out = _attend(grouped, seen_keys, seen_values, None, rules, sinks)
    else:
        mask = batch.span_mask(span, first, rules.window, query.dtype)
        out = _attend(grouped, seen_keys, seen_values, mask, rules, sinks)
    return out.flatten(0, 1).transpose(0, 1)


def _sinks(rules: Rules, keys: Tensor) -> Tensor:
    """Sinks as [kv head, group, 1]; an empty tensor where there are none."""
    if rules.sinks is None:
        return keys.new_empty(0)
    return torch.unflatten(rules.sinks, 0, (keys.shape[1], -1))[..., None]


def _attend(
    query: Float[Tensor, "a b query d_key"],
    keys: Float[Tensor, "a b key d_key"],
    values: Float[Tensor, "a b key d_value"],
    mask: Tensor | None,
    rules: Rules,
    sinks: Tensor,
) -> Float[Tensor, "a b query d_value"]:
    if rules.plain:
        return scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=rules.scale)
    scores = (query @ keys.transpose(-1, -2)) * rules.scale
    if rules.softcap is not None:
        scores = torch.tanh(scores / rules.softcap) * rules.softcap
    if mask is not None:
        scores = scores + mask
    if rules.sinks is not None:
        scores = torch.cat([scores, sinks.to(scores.dtype).expand(*scores.shape[:-1], 1)], -1)
    weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype)
    return weights[..., : keys.shape[-2]] @ values
