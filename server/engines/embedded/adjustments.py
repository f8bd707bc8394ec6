"""Changes to a request's logits before temperature and filters: bias, penalties, end tokens that come too early.

They are sparse. A request has a column for each token that it names or has seen, and a step touches those columns
alone: no cost for requests without such rules, and none per entry of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from server.engines.base import SamplingParams

_BIAS, _REPETITION, _PENALTY = range(3)
"""Rows of a request's table: added first; then dividing positive logits and multiplying others; then subtracted."""

_NEUTRAL = (0.0, 1.0, 0.0)


class Adjustments:
    """One request's rules and what they have counted so far."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int], end_ids: Collection[int]) -> None:
        """`prompt` counts for the repetition penalty only; `end_ids` are what `min_tokens` forbids."""
        self._params = params
        self._generated = 0
        self._counts: dict[int, int] = {}
        repeated = list(dict.fromkeys(prompt)) if params.repetition_penalty != 1 else []
        banned = sorted(end_ids) if params.min_tokens else []
        # End tokens first, so that lifting the ban is one slice.
        self._columns = {t: i for i, t in enumerate(dict.fromkeys([*banned, *params.logit_bias, *repeated]))}
        self._banned = len(banned)
        self._token_ids = torch.tensor(list(self._columns), dtype=torch.long)
        self._table = torch.tensor(_NEUTRAL)[:, None].repeat(1, len(self._columns))
        biased = [self._columns[token_id] for token_id in params.logit_bias]
        self._table[_BIAS, biased] = torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
        self._table[_REPETITION, [self._columns[token_id] for token_id in repeated]] = params.repetition_penalty
        self._table[_PENALTY, : self._banned] = math.inf

    @classmethod
    def of(cls, params: SamplingParams, prompt: Sequence[int], end_ids: Collection[int]) -> Adjustments | None:
        """None where no rule asks for any."""
        forbids = params.min_tokens > 0 and bool(end_ids)
        return cls(params, prompt, end_ids) if forbids or params.logit_bias or _counts_tokens(params) else None

    @property
    def token_ids(self) -> Int[Tensor, " column"]:
        """The tokens whose logits change."""
        return self._token_ids[: len(self._columns)]

    @property
    def table(self) -> Float[Tensor, "3 column"]:
        """How they change."""
        return self._table[:, : len(self._columns)]

    @property
    def bans_end(self) -> bool:
        """Whether end tokens come too early for `min_tokens`."""
        return self._banned > 0 and self._generated < self._params.min_tokens

    def allow_end(self) -> None:
        """Let the reply end although it is shorter than `min_tokens`."""
        self._table[_PENALTY, : self._banned] = 0.0

    def note(self, token_id: int) -> None:
        """Count a token of the reply."""
        params = self._params
        self._generated += 1
        if self._generated == params.min_tokens:
            self._table[_PENALTY, : self._banned] = 0.0
        if not _counts_tokens(params):
            return
        column = self._column(token_id)
        count = self._counts[token_id] = self._counts.get(token_id, 0) + 1
        self._table[_REPETITION, column] = params.repetition_penalty
        self._table[_PENALTY, column] = params.presence_penalty + params.frequency_penalty * count

    def _column(self, token_id: int) -> int:
        column = self._columns.setdefault(token_id, len(self._columns))
        if column == len(self._token_ids):
            more = max(64, column)
            self._token_ids = torch.cat([self._token_ids, torch.zeros(more, dtype=torch.long)])
            self._table = torch.cat([self._table, torch.tensor(_NEUTRAL)[:, None].repeat(1, more)], dim=1)
        self._token_ids[column] = token_id
        return column


def _counts_tokens(params: SamplingParams) -> bool:
    return params.repetition_penalty != 1 or params.presence_penalty != 0 or params.frequency_penalty != 0


@contextmanager
def adjusted(logits: Float[Tensor, "row vocab"], adjustments: Sequence[Adjustments | None]) -> Iterator[None]:
    """Adjust the rows in place within the block, so that none is copied; afterwards they are what they were."""
    acting = [(row, a) for row, a in enumerate(adjustments) if a is not None and len(a.token_ids)]
    if not acting:
        yield
        return
    device = logits.device
    sizes = torch.tensor([len(a.token_ids) for _, a in acting])
    rows = torch.repeat_interleave(torch.tensor([row for row, _ in acting]), sizes).to(device)
    columns = torch.cat([a.token_ids for _, a in acting]).to(device)
    before = logits[rows, columns]
    logits[rows, columns] = _change(before, torch.cat([a.table for _, a in acting], dim=1).to(device))
    try:
        yield
    finally:
        logits[rows, columns] = before


def _change(logits: Float[Tensor, " column"], table: Float[Tensor, "3 column"]) -> Float[Tensor, " column"]:
    biased = logits + table[_BIAS]
    repetition = table[_REPETITION]
    return torch.where(biased < 0, biased * repetition, biased / repetition) - table[_PENALTY]
