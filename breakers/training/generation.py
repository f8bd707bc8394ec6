"""Greedy and sampled replies to many prompts, under interventions or without: left-padded batches with a cache.

Rows that have ended leave the batch, so that the last long replies cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry
from breakers.errors import InterventionError
from breakers.pairs.generation import DecodingConfig, sample_tokens
from breakers.runtime import TorchRuntime
from breakers.training.batches import Sample
from breakers.training.forward import pad_token
from breakers.training.heads import head_at
from breakers.training.positions import position_arguments

_LEAVE_SHARE = 1 / 4
"""Share of ended rows from which on they are taken out: doing so copies the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepliesConfig:
    """How replies are written, greedy or sampled."""

    max_new_tokens: int = 64
    batch_size: int = 64
    end_token_ids: tuple[int, ...]
    """Any of them ends a reply."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.batch_size < 1 or not self.end_token_ids:
            raise InterventionError(
                f"max_new_tokens {self.max_new_tokens}, batch_size {self.batch_size}, "
                f"{len(self.end_token_ids)} end tokens; wanted at least 1 of each"
            )


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Tokens that end a reply: those of the generation configuration and the tokenizer's own."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = set(configured) if isinstance(configured, (list, tuple)) else {configured}
    return tuple(sorted({int(i) for i in ids | {tokenizer.eos_token_id} if i is not None}))


@torch.no_grad()
def greedy_replies(
    model: PreTrainedModel,
    sites: ModelSites,
    prompts: Sequence[Sequence[int]],
    config: RepliesConfig,
    entry: BankEntry | None = None,
    strength: float = 1.0,
) -> list[tuple[int, ...]]:
    """Token ids of the reply to each prompt, without its end token.

    Args:
        model: the base model.
        sites: of that model.
        prompts: token ids, none empty.
        config: see there.
        entry: interventions to write under; none by default.
        strength: of `entry`, at most its `strength_max`.

    Raises:
        InterventionError: a prompt has no tokens.
        PlanError: the strength is out of range.
    """
    return _in_batches(
        model, sites, prompts, config, entry, strength, lambda some: _Rows(model, some, config).written()
    )


def sampled_replies(
    model: PreTrainedModel,
    sites: ModelSites,
    prompts: Sequence[Sequence[int]],
    config: RepliesConfig,
    entry: BankEntry | None = None,
    strength: float = 1.0,
    *,
    seed: int,
) -> list[tuple[int, ...]]:
    """As `greedy_replies`, with each token drawn from the model's own distribution (temperature 1).

    Args:
        model: the base model.
        sites: of that model.
        prompts: token ids, none empty.
        config: see there.
        entry: interventions to write under; none by default.
        strength: of `entry`, at most its `strength_max`.
        seed: of the draws. Replies of one call are drawn together, so each depends on the other prompts too.

    Raises:
        InterventionError: a prompt has no tokens.
        PlanError: the strength is out of range.
    """
    decoding = DecodingConfig(
        samples=1,
        temperature=1.0,
        min_p=0.0,
        max_new_tokens=config.max_new_tokens,
        end_token_ids=config.end_token_ids,
        pad_token_id=pad_token(model),
    )
    draws = torch.Generator(device=model.device).manual_seed(seed)

    def drawn(some: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        return [row[0].token_ids for row in sample_tokens(model, some, decoding, draws)]

    return _in_batches(model, sites, prompts, config, entry, strength, drawn)


def _in_batches(
    model: PreTrainedModel,
    sites: ModelSites,
    prompts: Sequence[Sequence[int]],
    config: RepliesConfig,
    entry: BankEntry | None,
    strength: float,
    write: Callable[[Sequence[Sequence[int]]], list[tuple[int, ...]]],
) -> list[tuple[int, ...]]:
    if not all(prompts):
        raise InterventionError("a prompt has no tokens; wanted at least one in each")
    bank = Bank(sites, [] if entry is None else [entry], device=model.device, dtype=model.dtype)
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    replies: dict[int, tuple[int, ...]] = {}
    with TorchRuntime(model, bank).steering({} if entry is None else {entry.name: strength}) as runtime:
        for at in range(0, len(order), config.batch_size):
            picked = order[at : at + config.batch_size]
            runtime.restart()
            replies |= dict(zip(picked, write([prompts[i] for i in picked]), strict=True))
    return [replies[at] for at in range(len(prompts))]


def own_samples(
    model: PreTrainedModel, sites: ModelSites, prompts: Sequence[Sequence[int]], config: RepliesConfig, end: int
) -> tuple[Sample, ...]:
    """The unmodified model's own greedy replies, as benign samples for a model that has no such data.

    Args:
        model: the base model.
        sites: of that model.
        prompts: token ids, none empty.
        config: see there.
        end: the token that its chat template ends a reply with; put at the end of replies that were not cut.
    """
    written = greedy_replies(model, sites, prompts, config)
    replies = [ids if len(ids) == config.max_new_tokens else (*ids, end) for ids in written]
    return tuple(Sample(prompt=tuple(p), reply=reply) for p, reply in zip(prompts, replies, strict=True))


class _Rows:
    """One batch while it is written."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], config: RepliesConfig) -> None:
        self._model, self._config = model, config
        device, width, pad = model.device, max(map(len, prompts)), pad_token(model)
        self._ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
        self._mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        self._cache: Any = None
        self._alive = torch.arange(len(prompts), device=device)
        self._ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
        self._ends = torch.tensor(config.end_token_ids, device=device)
        self._replies: list[list[int]] = [[] for _ in prompts]

    def written(self) -> list[tuple[int, ...]]:
        """Write all to the end or the limit."""
        for _ in range(self._config.max_new_tokens):
            self._take(self._logits().argmax(-1))
            if not len(self._alive):
                break
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], 1)
        return [tuple(reply) for reply in self._replies]

    def _logits(self) -> Float[Tensor, "row vocab"]:
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -self._ids.shape[1] :]
        last = torch.zeros(self._ids.shape, dtype=torch.bool, device=self._ids.device)
        last[:, -1] = True
        with head_at(self._model, last):
            out: Any = self._model(
                input_ids=self._ids,
                attention_mask=self._mask,
                past_key_values=self._cache,
                use_cache=True,
                **position_arguments(self._model, positions),
            )
        self._cache = out.past_key_values
        logits: Tensor = out.logits
        return logits

    def _take(self, tokens: Int[Tensor, " row"]) -> None:
        ends = torch.isin(tokens, self._ends)
        over = (self._ended | ends).tolist()
        for reply, token, done in zip(self._alive.tolist(), tokens.tolist(), over, strict=True):
            if not done:
                self._replies[reply].append(token)
        self._ended |= ends
        self._ids = tokens[:, None]
        ended = int(self._ended.sum())
        if ended == len(self._ended) or ended >= _LEAVE_SHARE * len(self._ended):
            kept = (~self._ended).nonzero()[:, 0]
            self._alive, self._ids, self._mask = self._alive[kept], self._ids[kept], self._mask[kept]
            self._ended = self._ended[kept]
            if len(kept):
                self._cache.batch_select_indices(kept)
