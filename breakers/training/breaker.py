"""Direct training of low-rank breakers at given sites, several behaviours at a time.

    minimise  lambda_1 L_harm + lambda_2 L_preserve

L_harm lowers harmful replies against neutral ones; L_preserve keeps the model's distribution on benign replies.
Breakers that are served together are trained together: each row of a batch has its own set of them switched on,
all of them in half of the rows, so that neither loss depends on a breaker acting alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import BankEntry, Scope
from breakers.errors import InterventionError
from breakers.interventions import Breaker, Intervention
from breakers.sites import Site
from breakers.training.batches import Pair, Sample, collate, endless_batches
from breakers.training.forward import plain_logits, steered_logits
from breakers.training.losses import (
    harm_loss,
    logprobs_at,
    preserve_loss,
    row_means,
    token_logprobs,
    total_loss,
)

ALL_ON_SHARE = 0.5
"""Share of rows for which every breaker is on; in the others each of the rest is on by a coin's toss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTrainingConfig:
    """How to train."""

    sites: tuple[Site, ...]
    """Of each breaker."""
    rank: int = 4
    steps: int = 300
    batch_pairs: int = 16
    batch_benign: int = 16
    learning_rate: float = 1e-2
    harm_coef: float = 1.0
    preserve_coef: float = 4.0
    margin: float = 2.0
    """Nats by which neutral replies should lead harmful ones at the token where they part."""
    evaluate_every: int = 25
    patience: int = 6
    """Evaluations without improvement before stopping."""
    validation_share: float = 0.15
    validation_limit: int = 128
    """Most pairs of a breaker, and most benign samples, held out for validation."""
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
    """Losses on the validation part, with every breaker on."""

    step: int
    harm: float
    preserve: float
    margin: float
    """Mean lead of neutral over harmful replies where they part, nats."""
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTrainingResult:
    """The best breakers by validation loss, and how training went."""

    interventions: dict[str, tuple[Intervention, ...]]
    """By the name of the task."""
    best: Evaluation
    history: tuple[Evaluation, ...]


def train_breakers(
    model: PreTrainedModel,
    sites: ModelSites,
    config: BreakerTrainingConfig,
    tasks: Mapping[str, Sequence[Pair]],
    benign: Sequence[Sample],
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> BreakerTrainingResult:
    """Train one breaker per task, which are to act together; each has one low-rank part at every site.

    Args:
        model: the base model; its weights are not changed.
        sites: of that model.
        config: see there.
        tasks: by the breaker's name, harmful and neutral replies to the same prompts.
        benign: replies that must stay as likely as they are.
        on_evaluation: told of each validation.

    Raises:
        InterventionError: no task, or too little data to hold a validation part out.
    """
    if not tasks:
        raise InterventionError("no breaker to train; wanted pairs for at least one")
    return _Trainer(model, sites, config, tasks, benign).run(on_evaluation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A pair with the breaker (column) that is to act on it."""

    column: int
    pair: Pair


class _Trainer:
    """State of one training."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        config: BreakerTrainingConfig,
        tasks: Mapping[str, Sequence[Pair]],
        benign: Sequence[Sample],
    ) -> None:
        self._model, self._sites, self._config = model, sites, config
        self._names = tuple(tasks)
        self._random = random.Random(config.seed)
        self._pad = _pad_token(model)
        rows: list[_Row] = []
        self._validation_rows: list[_Row] = []
        for column, (name, pairs) in enumerate(tasks.items()):
            parts = _split(pairs, f"pairs of {name}", config, self._random)
            for to, part in zip((rows, self._validation_rows), parts, strict=True):
                to += [_Row(column=column, pair=pair) for pair in part]
        kept, self._validation_benign = _split(benign, "benign samples", config, self._random)
        self._pair_batches = endless_batches(rows, config.batch_pairs, lambda row: len(row.pair), self._random)
        self._benign_batches = endless_batches(kept, config.batch_benign, len, self._random)
        self._breakers = self._initial()

    def run(self, on_evaluation: Callable[[Evaluation], None] | None) -> BreakerTrainingResult:
        config = self._config
        optimizer = torch.optim.AdamW(self._tensors(), lr=config.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=config.learning_rate, total_steps=config.steps, pct_start=0.1
        )
        history: list[Evaluation] = []
        best: tuple[Evaluation, dict[str, tuple[Intervention, ...]]] | None = None
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
                    best = history[-1], self._snapshot()
                elif len(history) - 1 - history.index(best[0]) >= config.patience:
                    break
        if best is None:
            raise InterventionError("training ended without an evaluation")
        return BreakerTrainingResult(interventions=best[1], best=best[0], history=tuple(history))

    def _initial(self) -> list[tuple[Breaker, ...]]:
        generator = torch.Generator().manual_seed(self._config.seed)
        return [tuple(self._initial_breaker(s, generator) for s in self._config.sites) for _ in self._names]

    def _initial_breaker(self, site: Site, generator: torch.Generator) -> Breaker:
        width = len(self._sites.channels(site))
        down = torch.randn(self._config.rank, width, generator=generator) / width**0.5
        # Starts at the unmodified model, as LoRA does.
        up = torch.zeros(width, self._config.rank)
        return Breaker(site=site, down=down.requires_grad_(), up=up.requires_grad_())

    def _tensors(self) -> list[Tensor]:
        return [t for breakers in self._breakers for b in breakers for t in (b.down, b.up)]

    def _snapshot(self) -> dict[str, tuple[Intervention, ...]]:
        copies = [
            tuple(replace(b, down=b.down.detach().clone(), up=b.up.detach().clone()) for b in breakers)
            for breakers in self._breakers
        ]
        return dict(zip(self._names, copies, strict=True))

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        rows, benign = next(self._pair_batches), next(self._benign_batches)
        on_pairs = self._composition([row.column for row in rows])
        on_benign = self._composition([self._random.randrange(len(self._names)) for _ in benign])
        harm, _ = self._harm(rows, on_pairs)
        preserve = self._preserve(benign, on_benign)
        loss = total_loss(harm, preserve, self._config.harm_coef, self._config.preserve_coef)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._tensors(), 1.0)
        optimizer.step()

    def _composition(self, columns: Sequence[int]) -> Float[Tensor, "row breaker"]:
        """Strengths of each row: its own breaker is always on; see `ALL_ON_SHARE` for the others."""
        draw, count = self._random, len(self._names)
        rows = torch.ones(len(columns), count)
        for row, own in enumerate(columns):
            if draw.random() >= ALL_ON_SHARE:
                rows[row] = torch.tensor([float(c == own or draw.random() < 0.5) for c in range(count)])
        return rows

    @torch.no_grad()
    def _evaluate(self, step: int) -> Evaluation:
        size = 2 * max(self._config.batch_pairs, self._config.batch_benign)
        harms, margins, preserves = [], [], []
        for rows in _cut(self._validation_rows, size):
            harm, margin = self._harm(rows, torch.ones(len(rows), len(self._names)))
            harms.append(harm * len(rows))
            margins.append(margin * len(rows))
        for kept in _cut(self._validation_benign, size):
            on = torch.ones(len(kept), len(self._names))
            preserves.append(self._preserve(kept, on) * len(kept))
        harm_mean = float(sum(harms)) / len(self._validation_rows)
        preserve_mean = float(sum(preserves)) / len(self._validation_benign)
        return Evaluation(
            step=step,
            harm=harm_mean,
            preserve=preserve_mean,
            margin=float(sum(margins)) / len(self._validation_rows),
            total=self._config.harm_coef * harm_mean + self._config.preserve_coef * preserve_mean,
        )

    def _harm(self, rows: Sequence[_Row], on: Float[Tensor, "row breaker"]) -> tuple[Tensor, Tensor]:
        """(harm loss, mean lead of the neutral replies where they part)."""
        pairs = [row.pair for row in rows]
        batch = collate([p.harmful for p in pairs] + [p.neutral for p in pairs], self._pad)
        logits = steered_logits(self._model, self._sites, self._entries(), batch, on.repeat(2, 1))
        logprobs = token_logprobs(logits, batch)
        parting = logprobs_at(logprobs, batch, torch.tensor([p.parting for p in pairs]).repeat(2))
        harmful, neutral = parting[: len(pairs)], parting[len(pairs) :]
        neutral_mean = row_means(logprobs, batch)[len(pairs) :]
        loss = harm_loss(harmful, neutral, neutral_mean, self._config.margin)
        return loss, (neutral - harmful).mean().detach()

    def _preserve(self, benign: Sequence[Sample], on: Float[Tensor, "row breaker"]) -> Tensor:
        batch = collate(benign, self._pad)
        with torch.no_grad():
            untouched = plain_logits(self._model, batch)
        return preserve_loss(steered_logits(self._model, self._sites, self._entries(), batch, on), untouched)

    def _entries(self) -> list[BankEntry]:
        return [
            BankEntry(name=name, scope=Scope.GENERATION, interventions=breakers)
            for name, breakers in zip(self._names, self._breakers, strict=True)
        ]


T = TypeVar("T")


def _cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _split(
    items: Sequence[T], what: str, config: BreakerTrainingConfig, draw: random.Random
) -> tuple[list[T], list[T]]:
    held = max(1, min(config.validation_limit, round(len(items) * config.validation_share)))
    if len(items) - held < 1:
        raise InterventionError(f"{len(items)} {what}; wanted at least 2, to hold some out for validation")
    shuffled = draw.sample(list(items), len(items))
    return shuffled[held:], shuffled[:held]


def _pad_token(model: PreTrainedModel) -> int:
    pad = model.config.get_text_config().pad_token_id
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
