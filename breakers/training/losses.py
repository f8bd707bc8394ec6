"""The losses of breaker training, as pure functions of the logits at a batch's targets."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from breakers.training.batches import Batch


def mean_logprob(logits: Float[Tensor, "target vocab"], batch: Batch) -> Float[Tensor, " batch"]:
    """Mean log-probability per reply token of each row."""
    row, position = batch.targets.nonzero(as_tuple=True)
    logprobs = -functional.cross_entropy(logits, batch.ids[row, position + 1], reduction="none")
    sums = torch.zeros(len(batch.ids), dtype=logprobs.dtype).index_add(0, row, logprobs)
    return sums / batch.targets.sum(1)


def harm_loss(harmful: Float[Tensor, " batch"], neutral: Float[Tensor, " batch"], margin: float) -> Float[Tensor, ""]:
    """Lowers the harmful reply against the neutral one, and makes the neutral one likely in itself.

    Args:
        harmful: mean log-probability of the harmful replies under the breaker.
        neutral: that of the neutral replies to the same prompts.
        margin: nats per token by which the neutral reply should lead.
    """
    return functional.softplus(margin + harmful - neutral).mean() - neutral.mean()


def preserve_loss(
    steered: Float[Tensor, "target vocab"], untouched: Float[Tensor, "target vocab"]
) -> Float[Tensor, ""]:
    """KL(untouched || steered), nats per reply token, averaged over all reply tokens of the batch."""
    wanted, found = untouched.log_softmax(-1), steered.log_softmax(-1)
    return functional.kl_div(found, wanted, log_target=True, reduction="batchmean")


def total_loss(harm: Tensor, preserve: Tensor, harm_coef: float, preserve_coef: float) -> Tensor:
    """lambda_1 L_harm + lambda_2 L_preserve."""
    return torch.add(harm_coef * harm, preserve, alpha=preserve_coef)
