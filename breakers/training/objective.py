"""lambda_1 L_harm + lambda_2 L_preserve of interventions on pairs and benign samples.

Both replies of a pair have the same context up to the token where they part, and L_harm looks at the harmful one
there alone: its log-probability is read from the run on the neutral reply, and the harmful reply is never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.bank import BankEntry
from breakers.training.batches import Batch, Pair, Sample
from breakers.training.config import TrainingConfig
from breakers.training.forward import Forwards
from breakers.training.losses import harm_loss, preserve_loss, row_means, target_of, token_logprobs, total_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Of one batch; scalars that gradients flow from."""

    harm: Tensor
    """L_harm; 0 without pairs."""
    lead: Tensor
    """Mean lead of neutral over harmful replies where they part, nats; without gradient."""
    benign: Tensor
    """KL on benign samples, nats a token; 0 without any."""
    neutral: Tensor
    """KL on the neutral replies where the untouched model was of the same mind: see `Objective`."""
    total: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossBatch:
    """Pairs and benign samples with the strength of each entry in each row."""

    pairs: Sequence[Pair]
    on_pairs: Float[Tensor, "pair entry"]
    benign: Sequence[Sample]
    on_benign: Float[Tensor, "sample entry"]


class Objective:
    """The two losses, on one model.

    KL on a neutral reply leaves out the token where the pair parts, which L_harm is there to change, and the tokens
    that the untouched model holds for unlikely (`TrainingConfig.likely`). There it would rather write something else,
    and on a prompt that provokes it that is often harm: a reply may turn harmful at more places than the one where
    this pair parts, and KL would hold on to all the others.
    """

    def __init__(self, forwards: Forwards, config: TrainingConfig) -> None:
        self._forwards, self._config = forwards, config

    def losses(self, entries: Sequence[BankEntry], rows: LossBatch) -> Losses:
        """One forward of the neutral replies and one of the benign ones, whose lengths differ.

        Args:
            entries: what is trained; gradients flow into its tensors.
            rows: at least one pair or benign sample.
        """
        zero = torch.zeros((), device=self._forwards.model.device)
        harm = lead = kept = away = zero
        if rows.pairs:
            neutral = [pair.neutral for pair in rows.pairs]
            batch = self._forwards.batch(neutral)
            logits = self._forwards.steered(neutral, entries, rows.on_pairs)
            harm, lead = self._harm(logits, batch, rows.pairs)
            if self._config.neutral_coef:
                away = self._moved(logits, batch, rows.pairs)
        if rows.benign:
            steered = self._forwards.steered(rows.benign, entries, rows.on_benign)
            kept = preserve_loss(steered, self._forwards.untouched(rows.benign))
        preserve = kept + self._config.neutral_coef * away
        total = total_loss(harm, preserve, self._config.harm_coef, self._config.preserve_coef)
        return Losses(harm=harm, lead=lead, benign=kept, neutral=away, total=total)

    def _harm(self, logits: Tensor, batch: Batch, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        logprobs = logits.log_softmax(-1)
        parting = logprobs[target_of(batch, torch.tensor([pair.parting for pair in pairs]))]
        tokens = torch.tensor([[p.harmful.reply[p.parting], p.neutral.reply[p.parting]] for p in pairs])
        harmful, neutral = parting.gather(1, tokens.to(parting.device)).unbind(1)
        each = logprobs.gather(1, batch.labels[:, None])[:, 0]
        loss = harm_loss(harmful, neutral, row_means(each, batch), self._config.margin)
        return loss, (neutral - harmful).mean().detach()

    def _moved(self, logits: Tensor, batch: Batch, pairs: Sequence[Pair]) -> Tensor:
        counted = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        counted[target_of(batch, torch.tensor([pair.parting for pair in pairs]))] = False
        untouched = self._forwards.untouched([pair.neutral for pair in pairs])
        likely = token_logprobs(untouched, batch) >= torch.tensor(self._config.likely).log()
        return preserve_loss(logits, untouched, counted & likely)
