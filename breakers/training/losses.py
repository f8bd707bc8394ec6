"""The losses of training, as pure functions of the logits at a batch's targets."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from breakers.training.batches import Batch


def token_logprobs(logits: Float[Tensor, "target vocab"], batch: Batch) -> Float[Tensor, " target"]:
    """Log-probability of each reply token, row after row."""
    return -functional.cross_entropy(logits, batch.labels, reduction="none")


def mean_logprob(logits: Float[Tensor, "target vocab"], batch: Batch) -> Float[Tensor, " batch"]:
    """Mean log-probability per reply token of each row."""
    return row_means(token_logprobs(logits, batch), batch)


def row_means(logprobs: Float[Tensor, " target"], batch: Batch) -> Float[Tensor, " batch"]:
    """Mean of the values of each row's reply tokens."""
    row = batch.targets.nonzero(as_tuple=True)[0]
    return logprobs.new_zeros(len(batch.ids)).index_add(0, row, logprobs) / batch.lengths


def target_of(batch: Batch, tokens: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """Among all targets, that of one reply token of each row, counted from the reply's first token."""
    return batch.lengths.cumsum(0) - batch.lengths + tokens.to(batch.lengths.device)


def harm_loss(
    harmful: Float[Tensor, " pair"],
    neutral: Float[Tensor, " pair"],
    neutral_mean: Float[Tensor, " pair"],
    margin: float,
) -> Float[Tensor, ""]:
    """Turns the decision between two replies, and makes the neutral one likely throughout.

    The two replies are compared where they part. Later tokens of the harmful one are not pushed down: an
    intervention could do that by spoiling its continuation, and leave the decision as it was.

    Args:
        harmful: log-probability, under the intervention, of the harmful replies' first token that differs.
        neutral: that of the neutral replies to the same prompts.
        neutral_mean: mean log-probability per token of the neutral replies.
        margin: nats by which the neutral token should lead.
    """
    return functional.softplus(margin + harmful - neutral).mean() - neutral_mean.mean()


def preserve_loss(
    steered: Float[Tensor, "target vocab"],
    untouched: Float[Tensor, "target vocab"],
    counted: Bool[Tensor, " target"] | None = None,
) -> Float[Tensor, ""]:
    """KL(untouched || steered), nats per reply token, averaged over the counted reply tokens of the batch.

    Args:
        steered: logits under the interventions.
        untouched: logits of the unmodified model.
        counted: which tokens count, all by default; 0 if none does.
    """
    wanted, found = untouched.log_softmax(-1), steered.log_softmax(-1)
    if counted is None:
        return functional.kl_div(found, wanted, log_target=True, reduction="batchmean")
    each = functional.kl_div(found, wanted, log_target=True, reduction="none").sum(-1)
    return (each * counted).sum() / counted.sum().clamp_min(1)


def total_loss(harm: Tensor, preserve: Tensor, harm_coef: float, preserve_coef: float) -> Tensor:
    """lambda_1 L_harm + lambda_2 L_preserve."""
    return torch.add(harm_coef * harm, preserve, alpha=preserve_coef)
