"""Log-probabilities of the model's own distribution: of the likeliest tokens, and of given ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from server.engines.base import ScoredToken, TokenLogprob


def likeliest(
    logits: Float[Tensor, "row vocab"], normaliser: Float[Tensor, " row"], counts: Sequence[int]
) -> list[tuple[TokenLogprob, ...]]:
    """The `counts[row]` likeliest tokens of each row, likeliest first; rows that ask for none cost nothing.

    Args:
        logits: unchanged ones of the model.
        normaliser: their logsumexp.
        counts: at least 0 each.
    """
    named: list[tuple[TokenLogprob, ...]] = [()] * len(counts)
    asking = [row for row, count in enumerate(counts) if count]
    if not asking:
        return named
    best, token_ids = logits[asking].topk(min(max(counts), logits.shape[1]))
    logprobs = (best - normaliser[asking, None]).tolist()
    for row, tokens, scores in zip(asking, token_ids.tolist(), logprobs, strict=True):
        found = [TokenLogprob(token_id, logprob) for token_id, logprob in zip(tokens, scores, strict=True)]
        named[row] = tuple(found[: counts[row]])
    return named


def score_tokens(logits: Float[Tensor, "row vocab"], token_ids: Sequence[int], top: int) -> list[ScoredToken] | None:
    """Score a given token per row, naming the `top` likeliest ones.

    Returns:
        None if any row holds NaN or plus infinity, or nothing but minus infinity.
    """
    normaliser = logits.logsumexp(-1)
    if not torch.isfinite(normaliser).all():
        return None
    given = torch.tensor(token_ids, dtype=torch.long, device=logits.device)
    logprobs = (logits.gather(1, given[:, None])[:, 0] - normaliser).tolist()
    named = likeliest(logits, normaliser, [top] * len(token_ids))
    return [
        ScoredToken(token_id=token_id, logprob=logprob, top=best)
        for token_id, logprob, best in zip(token_ids, logprobs, named, strict=True)
    ]
