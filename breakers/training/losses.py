"""The losses of breaker training, as pure functions of logits."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from breakers.training.batches import Batch


def mean_logprob(logits: Float[Tensor, "batch pos vocab"], batch: Batch) -> Float[Tensor, " batch"]:
    """Mean log-probability per reply token of each row."""
    logprobs = logits[:, :-1].log_softmax(-1).gather(-1, batch.ids[:, 1:, None])[..., 0]
    targets = batch.targets[:, :-1]
    return (logprobs * targets).sum(1) / targets.sum(1)


def harm_loss(harmful: Float[Tensor, " batch"], neutral: Float[Tensor, " batch"], margin: float) -> Float[Tensor, ""]:
    """Lowers the harmful reply against the neutral one, and makes the neutral one likely in itself.

    Args:
        harmful: mean log-probability of the harmful replies under the breaker.
        neutral: that of the neutral replies to the same prompts.
        margin: nats per token by which the neutral reply should lead.
    """
    return functional.softplus(margin + harmful - neutral).mean() - neutral.mean()


def preserve_loss(
    steered: Float[Tensor, "batch pos vocab"], untouched: Float[Tensor, "batch pos vocab"], batch: Batch
) -> Float[Tensor, ""]:
    """KL(untouched || steered), nats per reply token, averaged over all reply tokens of the batch."""
    wanted = untouched[batch.targets].log_softmax(-1)
    found = steered[batch.targets].log_softmax(-1)
    return functional.kl_div(found, wanted, log_target=True, reduction="batchmean")


def total_loss(harm: Tensor, preserve: Tensor, harm_coef: float, preserve_coef: float) -> Tensor:
    """lambda_1 L_harm + lambda_2 L_preserve."""
    return torch.add(harm_coef * harm, preserve, alpha=preserve_coef)
