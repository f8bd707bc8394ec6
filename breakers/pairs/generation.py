"""Many sampled replies to each of a batch of prompts: one pass over the prompts, then one row per reply.

The prompts are read once and their cache entries are repeated for each reply; rows that have ended leave the batch,
so that the last long replies cost little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from breakers.pairs.cache import repeat_rows

_LEAVE_SHARE = 1 / 8
"""Share of ended rows from which on they are taken out: doing so copies the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingConfig:
    """How replies are drawn."""

    samples: int
    """Replies to each prompt."""
    temperature: float
    """Above 0."""
    min_p: float
    """Tokens of less than this share of the likeliest token's probability are never drawn; 0 to draw from all."""
    max_new_tokens: int
    end_token_ids: tuple[int, ...]
    pad_token_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledTokens:
    """One reply."""

    token_ids: tuple[int, ...]
    """Without its end token."""
    finished: bool
    """Whether the model ended it; otherwise it was cut at the limit."""


@torch.inference_mode()
def sample_tokens(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], config: DecodingConfig, generator: torch.Generator
) -> list[list[SampledTokens]]:
    """Sample replies.

    Args:
        model: a causal language model whose cache can be cut and repeated by rows.
        prompts: token ids, none empty; of similar length, because they are padded to the longest.
        config: see there.
        generator: on the model's device; the replies follow from its state and from the whole batch.

    Returns:
        `config.samples` replies for each prompt, in the order of the prompts.
    """
    rows = _Rows(model, prompts, config)
    for _ in range(config.max_new_tokens):
        rows.take(_draw(rows.logits / config.temperature, config.min_p, generator))
        if not rows.alive.numel():
            break
        rows.step()
    replies = rows.replies()
    return [replies[at : at + config.samples] for at in range(0, len(replies), config.samples)]


def _draw(logits: Float[Tensor, "row vocab"], min_p: float, generator: torch.Generator) -> Int[Tensor, " row"]:
    """One token each by inverting the cumulative distribution: one random number a row instead of one a token."""
    probabilities = logits.softmax(-1)
    probabilities = probabilities.where(probabilities >= min_p * probabilities.amax(-1, keepdim=True), 0.0)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    drawn = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64, device=logits.device) * total
    # Right: a token of probability 0 has the same cumulative value as the one before it and is never drawn.
    return torch.searchsorted(cumulative, drawn, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


class _Rows:
    """The replies that are being written, and the cache of those that have not ended."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], config: DecodingConfig) -> None:
        self._model, self._config = model, config
        device = model.device
        width = max(map(len, prompts))
        ids = [[config.pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self._mask = torch.tensor(mask, device=device)
        self._cache: Any = None
        self.logits: Float[Tensor, "row vocab"] = self._forward(torch.tensor(ids, device=device))
        repeat_rows(self._cache, config.samples)
        self._mask = self._mask.repeat_interleave(config.samples, 0)
        self.logits = self.logits.repeat_interleave(config.samples, 0)
        self.alive: Int[Tensor, " row"] = torch.arange(len(self.logits), device=device)
        """Which reply each row of the batch writes."""
        self._ended = torch.zeros(len(self.logits), dtype=torch.bool, device=device)
        """Of the rows in the batch."""
        self._ends = torch.tensor(config.end_token_ids, device=device)
        self._tokens: list[list[int]] = [[] for _ in range(len(self.logits))]
        self._finished = [False] * len(self.logits)

    def take(self, tokens: Int[Tensor, " row"]) -> None:
        """Append a token to each reply that has not ended; let rows go when enough have."""
        self._next = tokens
        ends = torch.isin(tokens, self._ends)
        for reply, token, end, over in zip(
            self.alive.tolist(), tokens.tolist(), ends.tolist(), self._ended.tolist(), strict=True
        ):
            if over:
                continue
            if end:
                self._finished[reply] = True
            else:
                self._tokens[reply].append(token)
        self._ended |= ends
        ended = int(self._ended.sum())
        if ended == len(self._ended) or ended >= _LEAVE_SHARE * len(self._ended):
            self._leave()

    def step(self) -> None:
        """Run the model on the tokens just taken."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], 1)
        self.logits = self._forward(self._next[:, None])

    def replies(self) -> list[SampledTokens]:
        """All of them, in order."""
        both = zip(self._tokens, self._finished, strict=True)
        return [SampledTokens(token_ids=tuple(tokens), finished=finished) for tokens, finished in both]

    def _leave(self) -> None:
        kept = (~self._ended).nonzero()[:, 0]
        self.alive, self._next, self._mask = self.alive[kept], self._next[kept], self._mask[kept]
        self._ended = self._ended[kept]
        if kept.numel():
            self._cache.batch_select_indices(kept)

    def _forward(self, ids: Int[Tensor, "row pos"]) -> Float[Tensor, "row vocab"]:
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out: Any = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = out.past_key_values
        logits: Tensor = out.logits[:, -1].float()
        return logits
