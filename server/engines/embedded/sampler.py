"""Choosing tokens: each request by its own rules and its own random numbers.

Random numbers come from one generator a request, one number a token, so that a seed means the same sequence of
choices whatever else runs. A full sort is made only for rows whose kept mass reaches beyond the best few tokens.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from server.engines.base import RequestRefusedError, SamplingParams

CANDIDATES = 64
"""The most likely tokens of a row that are looked at first."""

GROWTH = 8
"""How many times more are looked at where those fall short of the wanted mass, up to the whole row."""

DRAWS_AT_ONCE = 64

SEED_MODULUS = 2**64


@dataclass(frozen=True, slots=True)
class Choice:
    """A token, and its natural log-probability under the unfiltered distribution at temperature 1."""

    token_id: int
    logprob: float


class TokenChooser:
    """What one request brings to the sampler: its rules, its random numbers, or the tokens forced on it."""

    def __init__(self, params: SamplingParams, forced: Sequence[int] = ()) -> None:
        self.params = params
        self._generator = torch.Generator()
        self._generator.manual_seed(secrets.randbits(63) if params.seed is None else params.seed % SEED_MODULUS)
        self._draws: list[float] = []
        self._forced = list(reversed(forced))

    @property
    def random(self) -> bool:
        """Whether the next token is drawn by chance."""
        return self.params.temperature > 0 and not self._forced

    def next_forced(self) -> int | None:
        """The token that must come next, once."""
        return self._forced.pop() if self._forced else None

    def draw(self) -> float:
        """The next number of this request's sequence, uniform in [0, 1)."""
        if not self._draws:
            numbers = torch.rand(DRAWS_AT_ONCE, generator=self._generator, dtype=torch.float64)
            self._draws = list(reversed(numbers.tolist()))
        return self._draws.pop()


def check_sampling(params: SamplingParams) -> None:
    """Refuse what cannot be sampled.

    Raises:
        RequestRefusedError: a parameter is out of range; the message names it.
    """
    if params.max_tokens < 1:
        raise RequestRefusedError(f"max_tokens is {params.max_tokens}; wanted at least 1")
    if not (math.isfinite(params.temperature) and params.temperature >= 0):
        raise RequestRefusedError(f"temperature is {params.temperature}; wanted a finite number of at least 0")
    if not 0 < params.top_p <= 1:
        raise RequestRefusedError(f"top_p is {params.top_p}; wanted more than 0 and at most 1")
    if params.top_k < 0:
        raise RequestRefusedError(f"top_k is {params.top_k}; wanted 0 (no limit) or more")
    if any(not stop for stop in params.stop):
        raise RequestRefusedError("a stop string is empty; wanted at least one character")


def choose(logits: Float[Tensor, "row vocab"], choosers: Sequence[TokenChooser]) -> list[Choice | None]:
    """One token a row.

    Returns:
        None for a row whose logits hold NaN or plus infinity, or are all minus infinity.
    """
    best, tokens = logits.max(-1)
    normaliser = logits.logsumexp(-1)
    forced = {row: token for row, c in enumerate(choosers) if (token := c.next_forced()) is not None}
    drawn = [row for row, c in enumerate(choosers) if row not in forced and c.random]
    if drawn:
        tokens[drawn] = _draw_tokens(logits[drawn] if len(drawn) < len(choosers) else logits, choosers, drawn)
    if forced:
        tokens[list(forced)] = torch.tensor(list(forced.values()), device=tokens.device)
    if drawn or forced:
        best = logits.gather(1, tokens[:, None])[:, 0]
    logprobs = (best - normaliser).tolist()
    finite = torch.isfinite(normaliser).tolist()
    found = zip(tokens.tolist(), logprobs, finite, strict=True)
    return [Choice(token, logprob) if sound else None for token, logprob, sound in found]


def _draw_tokens(
    logits: Float[Tensor, "row vocab"], choosers: Sequence[TokenChooser], rows: Sequence[int]
) -> Int[Tensor, " row"]:
    params = [choosers[row].params for row in rows]
    uniform = torch.tensor([choosers[row].draw() for row in rows], dtype=torch.float64, device=logits.device)
    return draw_tokens(logits, params, uniform)


def draw_tokens(
    logits: Float[Tensor, "row vocab"], params: Sequence[SamplingParams], uniform: Float[Tensor, " row"]
) -> Int[Tensor, " row"]:
    """The token of each row at quantile `uniform` of its filtered distribution.

    Filters as transformers does: temperature, then top_k, then top_p of what is left; the most likely token
    always stays.

    Args:
        logits: finite, or minus infinity for impossible tokens.
        params: of each row; temperature above 0.
        uniform: in [0, 1), float64.
    """
    temperature = torch.tensor([p.temperature for p in params], device=logits.device)[:, None]
    weights = ((logits - logits.amax(-1, keepdim=True)) / temperature).exp()
    tokens = torch.empty(len(params), dtype=torch.long, device=logits.device)
    plain = [i for i, p in enumerate(params) if p.top_k == 0 and p.top_p == 1]
    filtered = [i for i, p in enumerate(params) if p.top_k > 0 or p.top_p < 1]
    if plain:
        tokens[plain] = _quantile(weights[plain], uniform[plain])
    if filtered:
        tokens[filtered] = _filtered(weights[filtered], [params[i] for i in filtered], uniform[filtered])
    return tokens


def _filtered(
    weights: Float[Tensor, "row vocab"],
    params: Sequence[SamplingParams],
    uniform: Float[Tensor, " row"],
    candidates: int = CANDIDATES,
) -> Int[Tensor, " row"]:
    vocab = weights.shape[1]
    width = min(vocab, max([candidates, *(p.top_k for p in params)]))
    best, order = weights.topk(width)
    limits = torch.tensor([p.top_k or width for p in params], device=weights.device).clamp_max(width)
    top_p = torch.tensor([p.top_p for p in params], dtype=torch.float64, device=weights.device)
    best = best.masked_fill(torch.arange(width, device=weights.device) >= limits[:, None], 0.0)
    mass = best.cumsum(-1, dtype=torch.float64)
    capped = torch.tensor([p.top_k > 0 for p in params], device=weights.device)
    wanted = top_p * torch.where(capped, mass[:, -1], weights.sum(-1, dtype=torch.float64))
    # A token stays while the tokens before it fall short of the wanted mass.
    kept = best.masked_fill(mass - best >= wanted[:, None], 0.0)
    kept[:, 0] = best[:, 0]
    tokens = order.gather(1, _quantile(kept, uniform)[:, None])[:, 0]
    short = [] if width == vocab else ((mass[:, -1] < wanted) & ~capped).nonzero().flatten().tolist()
    if short:
        tokens[short] = _filtered(weights[short], [params[i] for i in short], uniform[short], GROWTH * width)
    return tokens


def _quantile(weights: Float[Tensor, "row column"], uniform: Float[Tensor, " row"]) -> Int[Tensor, " row"]:
    """The first column at which the running share of the weights exceeds `uniform`."""
    mass = weights.cumsum(-1, dtype=torch.float64)
    total = mass[:, -1]
    # Rounding must not carry the target to the total: past it lie columns without weight.
    target = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    column = torch.searchsorted(mass, target[:, None], right=True)[:, 0]
    # Rows of NaN have no answer; they are refused later, and here must only stay in range.
    return column.clamp_max(weights.shape[1] - 1)
