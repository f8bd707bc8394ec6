"""Direct training of low-rank breakers at given sites.

    minimise  lambda_1 L_harm + lambda_2 L_preserve

L_harm lowers harmful replies against neutral ones; L_preserve keeps the model's distribution on benign replies.
The forward passes go through the same bank as serving, so what is trained is what is served.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import InterventionError
from breakers.interventions import Breaker, Intervention
from breakers.runtime import TorchRuntime
from breakers.sites import Site
from breakers.training.batches import Batch, Pair, Sample, collate
from breakers.training.losses import harm_loss, mean_logprob, preserve_loss, total_loss

_NAME = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTrainingConfig:
    """How to train."""

    sites: tuple[Site, ...]
    rank: int = 4
    steps: int = 300
    batch_pairs: int = 16
    batch_benign: int = 16
    learning_rate: float = 1e-2
    harm_coef: float = 1.0
    preserve_coef: float = 4.0
    margin: float = 2.0
    """Nats per token by which neutral replies should lead harmful ones."""
    evaluate_every: int = 25
    patience: int = 6
    """Evaluations without improvement before stopping."""
    validation_share: float = 0.15
    validation_limit: int = 128
    """Most pairs, and most benign samples, held out for validation."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sites or self.rank < 1 or self.steps < 1:
            raise InterventionError(
                f"{len(self.sites)} sites, rank {self.rank}, {self.steps} steps; wanted at least one of each"
            )
        if not 0 < self.validation_share < 1:
            raise InterventionError(f"validation_share is {self.validation_share}; wanted a number in (0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Losses on the validation part."""

    step: int
    harm: float
    preserve: float
    margin: float
    """Mean lead of neutral over harmful replies, nats per token."""
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTrainingResult:
    """The best breakers by validation loss, and how training went."""

    interventions: tuple[Intervention, ...]
    best: Evaluation
    history: tuple[Evaluation, ...]


def train_breaker(
    model: PreTrainedModel,
    sites: ModelSites,
    config: BreakerTrainingConfig,
    pairs: Sequence[Pair],
    benign: Sequence[Sample],
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> BreakerTrainingResult:
    """Train one breaker per site of `config.sites`, jointly.

    Args:
        model: the base model; its weights are not changed.
        sites: of that model.
        config: see there.
        pairs: harmful and neutral replies to the same prompts.
        benign: replies that must stay as likely as they are.
        on_evaluation: told of each validation.

    Raises:
        InterventionError: too little data to hold a validation part out, or training left finite numbers.
    """
    return _Trainer(model, sites, config, pairs, benign).run(on_evaluation)


class _Trainer:
    """State of one training."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        config: BreakerTrainingConfig,
        pairs: Sequence[Pair],
        benign: Sequence[Sample],
    ) -> None:
        self._model, self._sites, self._config = model, sites, config
        self._random = random.Random(config.seed)
        self._pad = _pad_token(model)
        self._pairs, self._validation_pairs = _split(pairs, "pairs", config, self._random)
        self._benign, self._validation_benign = _split(benign, "benign", config, self._random)
        self._downs, self._ups = self._initial_tensors()

    def run(self, on_evaluation: Callable[[Evaluation], None] | None) -> BreakerTrainingResult:
        config = self._config
        optimizer = torch.optim.AdamW([*self._downs, *self._ups], lr=config.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=config.learning_rate, total_steps=config.steps, pct_start=0.1
        )
        history: list[Evaluation] = []
        best: tuple[Evaluation, tuple[Intervention, ...]] | None = None
        with _frozen(self._model):
            for step in range(1, config.steps + 1):
                self._step(optimizer)
                schedule.step()
                if step % config.evaluate_every and step != config.steps:
                    continue
                history.append(self._evaluate(step))
                if on_evaluation is not None:
                    on_evaluation(history[-1])
                if best is None or history[-1].total < best[0].total:
                    best = history[-1], self._interventions(detached=True)
                elif len(history) - 1 - history.index(best[0]) >= config.patience:
                    break
        if best is None:
            raise InterventionError("training ended without an evaluation")
        return BreakerTrainingResult(interventions=best[1], best=best[0], history=tuple(history))

    def _initial_tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        generator = torch.Generator().manual_seed(self._config.seed)
        downs, ups = [], []
        for site in self._config.sites:
            width = len(self._sites.channels(site))
            down = torch.randn(self._config.rank, width, generator=generator) / width**0.5
            downs.append(down.requires_grad_())
            # Starts at the unmodified model, as LoRA does.
            ups.append(torch.zeros(width, self._config.rank, requires_grad=True))
        return downs, ups

    def _interventions(self, *, detached: bool = False) -> tuple[Intervention, ...]:
        triples = zip(self._config.sites, self._downs, self._ups, strict=True)
        if detached:
            return tuple(Breaker(site=s, down=d.detach().clone(), up=u.detach().clone()) for s, d, u in triples)
        return tuple(Breaker(site=s, down=d, up=u) for s, d, u in triples)

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        pairs = self._random.sample(self._pairs, min(self._config.batch_pairs, len(self._pairs)))
        benign = self._random.sample(self._benign, min(self._config.batch_benign, len(self._benign)))
        harm, preserve, _ = self._losses(pairs, benign)
        loss = total_loss(harm, preserve, self._config.harm_coef, self._config.preserve_coef)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*self._downs, *self._ups], 1.0)
        optimizer.step()

    @torch.no_grad()
    def _evaluate(self, step: int) -> Evaluation:
        size = self._config.batch_pairs * 2
        parts = []
        for at in range(0, max(len(self._validation_pairs), len(self._validation_benign)), size):
            pairs = self._validation_pairs[at : at + size] or self._validation_pairs[:size]
            benign = self._validation_benign[at : at + size] or self._validation_benign[:size]
            parts.append(torch.stack(self._losses(pairs, benign)))
        harm, preserve, margin = torch.stack(parts).mean(0).tolist()
        total = self._config.harm_coef * harm + self._config.preserve_coef * preserve
        return Evaluation(step=step, harm=harm, preserve=preserve, margin=margin, total=total)

    def _losses(self, pairs: Sequence[Pair], benign: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """(harm, preserve, mean lead of the neutral replies)."""
        both = collate([p.harmful for p in pairs] + [p.neutral for p in pairs], self._pad)
        kept = collate(benign, self._pad)
        logprobs = mean_logprob(self._steered(both), both)
        harmful, neutral = logprobs[: len(pairs)], logprobs[len(pairs) :]
        with torch.no_grad():
            untouched = self._model(input_ids=kept.ids, use_cache=False).logits
        preserve = preserve_loss(self._steered(kept), untouched, kept)
        return harm_loss(harmful, neutral, self._config.margin), preserve, (neutral - harmful).mean().detach()

    def _steered(self, batch: Batch) -> Tensor:
        entry = BankEntry(name=_NAME, scope=Scope.GENERATION, interventions=self._interventions())
        bank = Bank(self._sites, [entry])
        runtime = TorchRuntime(self._model, bank)
        with runtime.attached(), runtime.forward_strengths(bank.token_strengths(batch.strengths)):
            logits: Tensor = self._model(input_ids=batch.ids, use_cache=False).logits
        return logits


T = TypeVar("T")


def _split(
    items: Sequence[T], what: str, config: BreakerTrainingConfig, draw: random.Random
) -> tuple[list[T], list[T]]:
    held = max(1, min(config.validation_limit, round(len(items) * config.validation_share)))
    if len(items) - held < 1:
        raise InterventionError(f"{len(items)} {what}; wanted at least 2, to hold some out for validation")
    shuffled = draw.sample(list(items), len(items))
    return shuffled[held:], shuffled[:held]


def _pad_token(model: PreTrainedModel) -> int:
    pad = model.config.pad_token_id
    return 0 if pad is None else int(pad)


@contextmanager
def _frozen(model: PreTrainedModel) -> Iterator[None]:
    """The model's parameters need no gradient inside; as they were, outside."""
    needed = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in needed:
            parameter.requires_grad_(flag)
