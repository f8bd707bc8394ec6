"""The losses of breaker training, as pure functions of the logits at a batch's targets."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from breakers.training.batches import Batch


def token_logprobs(logits: Float[Tensor, "target vocab"], batch: Batch) -> Float[Tensor, " target"]:
    """Log-probability of each reply token, row after row."""
    row, position = batch.targets.nonzero(as_tuple=True)
    return -functional.cross_entropy(logits, batch.ids[row, position + 1], reduction="none")


def mean_logprob(logits: Float[Tensor, "target vocab"], batch: Batch) -> Float[Tensor, " batch"]:
    """Mean log-probability per reply token of each row."""
    return row_means(token_logprobs(logits, batch), batch)


def row_means(logprobs: Float[Tensor, " target"], batch: Batch) -> Float[Tensor, " batch"]:
    """Mean of the values of each row's reply tokens."""
    row = batch.targets.nonzero(as_tuple=True)[0]
    return torch.zeros(len(batch.ids), dtype=logprobs.dtype).index_add(0, row, logprobs) / batch.targets.sum(1)


def logprobs_at(
    logprobs: Float[Tensor, " target"], batch: Batch, tokens: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """The value of one reply token of each row, counted from the reply's first token."""
    lengths = batch.targets.sum(1)
    return logprobs[lengths.cumsum(0) - lengths + tokens]


def harm_loss(
    harmful: Float[Tensor, " pair"],
    neutral: Float[Tensor, " pair"],
    neutral_mean: Float[Tensor, " pair"],
    margin: float,
) -> Float[Tensor, ""]:
    """Turns the decision between two replies, and makes the neutral one likely throughout.

    The two replies are compared where they part. Later tokens of the harmful one are not pushed down: a breaker
    could do that by spoiling its continuation, and leave the decision as it was.

    Args:
        harmful: log-probability, under the breaker, of the harmful replies' first token that differs.
        neutral: that of the neutral replies to the same prompts.
        neutral_mean: mean log-probability per token of the neutral replies.
        margin: nats by which the neutral token should lead.
    """
    return functional.softplus(margin + harmful - neutral).mean() - neutral_mean.mean()


def preserve_loss(
    steered: Float[Tensor, "target vocab"], untouched: Float[Tensor, "target vocab"]
) -> Float[Tensor, ""]:
    """KL(untouched || steered), nats per reply token, averaged over all reply tokens of the batch."""
    wanted, found = untouched.log_softmax(-1), steered.log_softmax(-1)
    return functional.kl_div(found, wanted, log_target=True, reduction="batchmean")


def total_loss(harm: Tensor, preserve: Tensor, harm_coef: float, preserve_coef: float) -> Tensor:
    """lambda_1 L_harm + lambda_2 L_preserve."""
    return torch.add(harm_coef * harm, preserve, alpha=preserve_coef)
