"""Temperature, top_k, top_p and min_p, in transformers' order, and a draw from what they leave.

A full sort is made only for rows whose kept mass reaches beyond the best few tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from server.engines.base import SamplingParams

CANDIDATES = 64
"""The most likely tokens of a row that are looked at first."""

GROWTH = 8
"""How many times more are looked at where those fall short of the wanted mass, up to the whole row."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the filters leave of some rows."""

    rows: list[int]
    weights: Float[Tensor, "row column"]
    """In proportion to the probabilities; 0 for what a filter dropped."""
    tokens: Int[Tensor, "row column"] | None
    """The token of each column, likeliest first; None where column and token are the same."""


def draw_tokens(
    logits: Float[Tensor, "row vocab"], params: Sequence[SamplingParams], uniform: Float[Tensor, " row"]
) -> Int[Tensor, " row"]:
    """The token of each row at quantile `uniform` of its filtered distribution.

    Args:
        logits: finite, or minus infinity for impossible tokens.
        params: of each row; temperature above 0.
        uniform: in [0, 1), float64.
    """
    drawn = torch.empty(len(params), dtype=torch.long, device=logits.device)
    for kept in filtered(logits, params):
        columns = _quantile(kept.weights, uniform[kept.rows])
        drawn[kept.rows] = columns if kept.tokens is None else kept.tokens.gather(1, columns[:, None])[:, 0]
    return drawn


def filtered(logits: Float[Tensor, "row vocab"], params: Sequence[SamplingParams]) -> list[Kept]:
    """What temperature, top_k, top_p and min_p leave: every row once, in groups of equal width.

    Tokens that tie with the last of top_k stay; the most likely token always stays.
    """
    # Below the smallest normal number a temperature would become 0 in float32.
    least = torch.finfo(torch.float32).tiny
    temperature = torch.tensor([max(p.temperature, least) for p in params], device=logits.device)[:, None]
    weights = ((logits - logits.amax(-1, keepdim=True)) / temperature).exp()
    whole = [i for i, p in enumerate(params) if p.top_k == 0 and p.top_p == 1]
    cut = [i for i, p in enumerate(params) if p.top_k > 0 or p.top_p < 1]
    kept = [Kept(whole, _likely(weights[whole], [params[i] for i in whole]), None)] if whole else []
    return kept + (_best(weights[cut], [params[i] for i in cut], cut, CANDIDATES) if cut else [])


def _best(
    weights: Float[Tensor, "row vocab"], params: Sequence[SamplingParams], names: list[int], candidates: int
) -> list[Kept]:
    """Look at the best `candidates` tokens, and again at more where that does not settle the matter.

    Args:
        weights: of rows that top_k or top_p cut, the likeliest token's 1.
        params: of each row.
        names: what to call each row in the result.
        candidates: at first; one more than the largest top_k at least, to see whether others tie with its last.
    """
    vocab, device = weights.shape[1], weights.device
    width = min(vocab, max([candidates, *(p.top_k + 1 for p in params)]))
    best, tokens = weights.topk(width)
    last = best[:, -1]
    capped = torch.tensor([p.top_k > 0 for p in params], device=device)
    limits = torch.tensor([min(p.top_k or width, width) for p in params], device=device)
    lowest = best.gather(1, limits[:, None] - 1)
    best = best.masked_fill(best < lowest, 0.0)
    mass = best.cumsum(-1, dtype=torch.float64)
    top_p = torch.tensor([p.top_p for p in params], dtype=torch.float64, device=device)
    wanted = top_p * torch.where(capped, mass[:, -1], weights.sum(-1, dtype=torch.float64))
    # A token stays while the tokens before it fall short of the wanted mass.
    kept = best.masked_fill(mass - best >= wanted[:, None], 0.0)
    kept[:, 0] = best[:, 0]
    kept = _likely(kept, params)
    short: list[int] = []
    if width < vocab:
        least = torch.tensor([p.min_p for p in params], device=device)
        unsettled = torch.where(capped, last == lowest[:, 0], mass[:, -1] < wanted)
        # What is impossible, or dropped by min_p in any case, need not be looked at.
        short = (unsettled & (last > 0) & (last >= least)).nonzero().flatten().tolist()
    if not short:
        return [Kept(names, kept, tokens)]
    done = [i for i in range(len(params)) if i not in set(short)]
    again = _best(weights[short], [params[i] for i in short], [names[i] for i in short], GROWTH * width)
    return [Kept([names[i] for i in done], kept[done], tokens[done]), *again] if done else again


def _likely(weights: Float[Tensor, "row column"], params: Sequence[SamplingParams]) -> Float[Tensor, "row column"]:
    """min_p: the likeliest token's weight is 1, so that weights are shares of it."""
    if all(p.min_p == 0 for p in params):
        return weights
    least = torch.tensor([p.min_p for p in params], device=weights.device)[:, None]
    return weights.masked_fill(weights < least, 0.0)


def _quantile(weights: Float[Tensor, "row column"], uniform: Float[Tensor, " row"]) -> Int[Tensor, " row"]:
    """The first column at which the running share of the weights exceeds `uniform`."""
    mass = weights.cumsum(-1, dtype=torch.float64)
    total = mass[:, -1]
    # Rounding must not carry the target to the total: past it lie columns without weight.
    target = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    column = torch.searchsorted(mass, target[:, None], right=True)[:, 0]
    # Rows of NaN have no answer; they are refused later, and here must only stay in range.
    return column.clamp_max(weights.shape[1] - 1)
