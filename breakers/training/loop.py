"""The training loop of breakers and of steering vectors: AdamW, early stopping, checkpoints and resuming.

Everything that the next step depends on is in the checkpoint (tensors, AdamW's state, the random source, the batches
left in the round), so that on the CPU a training that was interrupted ends as one that was not, bit for bit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.bank import BankEntry, Scope
from breakers.errors import InterventionError
from breakers.training.batches import BatchOrder
from breakers.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from breakers.training.config import TrainingConfig, one_cycle
from breakers.training.data import TrainingData
from breakers.training.forward import Forwards, frozen
from breakers.training.objective import LossBatch, Losses, Objective
from breakers.training.trained import Evaluation, Interventions, Parameters, TrainingResult

ALL_ON_SHARE = 0.5
"""Share of rows for which every breaker is on; in the others each of the rest is on by a coin's toss."""
_STATE = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's, of each tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What selects a result by generated text."""

    name: str
    """Scorer and prompts: a checkpoint that was judged otherwise is refused."""
    harm: Callable[[Interventions], float]
    """Mean H of the text that is generated under interventions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSpec:
    """How one training is run, beyond its configuration."""

    made_from: str
    """Digest of everything that decides the result."""
    checkpoint: Path | None = None
    """A training resumes from the file, where there is one, and writes it at each evaluation."""
    judge: Judge | None = None
    """Selects the result by H of generated text."""
    evaluate_start: bool = False
    """Whether the initial tensors are a candidate."""


class Loop:
    """State of one training."""

    def __init__(
        self,
        forwards: Forwards,
        config: TrainingConfig,
        parameters: Parameters,
        data: TrainingData,
        draw: random.Random,
        spec: LoopSpec,
    ) -> None:
        """Start from the checkpoint if there is one, else from the parameters as they are.

        Raises:
            StageError: the checkpoint is of another training.
        """
        self._forwards, self._config, self._parameters, self._data = forwards, config, parameters, data
        self._random, self._spec = draw, spec
        self._objective = Objective(forwards, config)
        self._orders = (
            BatchOrder([forwards.length(row.pair.neutral) for row in data.rows], config.batch_pairs, draw),
            BatchOrder([forwards.length(sample) for sample in data.benign], config.batch_benign, draw),
        )
        self._optimizer = torch.optim.AdamW(
            list(parameters.tensors.values()), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._step = 0
        self._stopped = False
        self._history: list[Evaluation] = []
        self._best: tuple[int, dict[str, Tensor]] | None = None
        self._resume()

    def run(self, on_evaluation: Callable[[Evaluation], None] | None = None) -> TrainingResult:
        """Train to the end, from where it stands.

        Args:
            on_evaluation: told of each validation, after its checkpoint is written.

        Raises:
            InterventionError: a loss is not finite.
            OSError: a checkpoint cannot be written.
        """
        config = self._config
        with frozen(self._forwards.model):
            if self._spec.evaluate_start and not self._history:
                self._validate(on_evaluation)
            while not self._stopped:
                self._train_step()
                if self._step % config.evaluate_every == 0 or self._step == config.steps:
                    self._validate(on_evaluation)
        if self._best is None:
            raise InterventionError("training ended without an evaluation")
        at, tensors = self._best
        return TrainingResult(
            interventions=self._parameters.interventions(tensors),
            best=self._history[at],
            history=tuple(self._history),
            reused_prompts=self._forwards.reuses_prompts,
        )

    def _train_step(self) -> None:
        data = self._data
        rows = [data.rows[at] for at in self._orders[0].next()]
        benign = [data.benign[at] for at in self._orders[1].next()]
        batch = LossBatch(
            pairs=[row.pair for row in rows],
            on_pairs=self._composition([row.column for row in rows]),
            benign=benign,
            on_benign=self._composition([self._random.randrange(len(data.names)) for _ in benign]),
        )
        self._optimizer.zero_grad()
        loss = self._losses(batch).total
        if not bool(torch.isfinite(loss)):
            raise InterventionError(
                f"the loss at step {self._step + 1} is {loss.item()}; wanted a finite number: the model's "
                f"activations are not finite, or learning_rate {self._config.learning_rate} is too high"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        share, first_beta = one_cycle(self._step, self._config.steps)
        for group in self._optimizer.param_groups:
            group["lr"], group["betas"] = share * self._config.learning_rate, (first_beta, group["betas"][1])
        torch.nn.utils.clip_grad_norm_(list(self._parameters.tensors.values()), 1.0)
        self._optimizer.step()
        self._parameters.project()
        self._step += 1

    def _composition(self, columns: Sequence[int]) -> Float[Tensor, "row task"]:
        """Strengths of each row: its own intervention is always on; see `ALL_ON_SHARE` for the others."""
        draw, count = self._random, len(self._data.names)
        rows = torch.ones(len(columns), count)
        for row, own in enumerate(columns):
            if draw.random() >= ALL_ON_SHARE:
                rows[row] = torch.tensor([float(c == own or draw.random() < 0.5) for c in range(count)])
        return rows

    def _losses(self, batch: LossBatch) -> Losses:
        built = self._parameters.interventions(self._parameters.tensors)
        entries = [BankEntry(name=n, scope=Scope.GENERATION, interventions=parts) for n, parts in built.items()]
        return self._objective.losses(entries, batch)

    def _validate(self, on_evaluation: Callable[[Evaluation], None] | None) -> None:
        evaluation = self._evaluate()
        self._history.append(evaluation)
        best = self._best
        if best is None or evaluation.rank < self._history[best[0]].rank:
            kept = {name: tensor.detach().clone() for name, tensor in self._parameters.tensors.items()}
            best = self._best = len(self._history) - 1, kept
        idle = len(self._history) - 1 - best[0]
        self._stopped = self._step >= self._config.steps or idle >= self._config.patience
        if self._spec.checkpoint is not None:
            save_checkpoint(self._saved(), self._spec.checkpoint)
        if on_evaluation is not None:
            on_evaluation(evaluation)

    @torch.no_grad()
    def _evaluate(self) -> Evaluation:
        data, config = self._data, self._config
        size = 2 * max(config.batch_pairs, config.batch_benign)
        count = len(data.names)
        no_rows = torch.ones(0, count)
        sums = torch.zeros(4, dtype=torch.float64)
        for at in range(0, len(data.validation_rows), size):
            pairs = [row.pair for row in data.validation_rows[at : at + size]]
            on = torch.ones(len(pairs), count)
            found = self._losses(LossBatch(pairs=pairs, on_pairs=on, benign=[], on_benign=no_rows))
            sums[:3] += torch.tensor([float(found.harm), float(found.lead), float(found.neutral)]) * len(pairs)
        for at in range(0, len(data.validation_benign), size):
            kept = data.validation_benign[at : at + size]
            on = torch.ones(len(kept), count)
            found = self._losses(LossBatch(pairs=[], on_pairs=no_rows, benign=kept, on_benign=on))
            sums[3] += float(found.benign) * len(kept)
        harm, lead, neutral = (sums[:3] / len(data.validation_rows)).tolist()
        preserve = float(sums[3]) / len(data.validation_benign)
        total = config.harm_coef * harm + config.preserve_coef * (preserve + config.neutral_coef * neutral)
        judge = self._spec.judge
        built = self._parameters.interventions(
            {name: tensor.detach().clone() for name, tensor in self._parameters.tensors.items()}
        )
        return Evaluation(
            step=self._step,
            harm=harm,
            preserve=preserve,
            margin=lead,
            total=total,
            neutral_preserve=neutral,
            generated_harm=None if judge is None else judge.harm(built),
        )

    def _saved(self) -> Checkpoint:
        tensors: dict[str, Tensor] = {}
        for name, tensor in self._parameters.tensors.items():
            tensors[f"now.{name}"] = tensor
            state = self._optimizer.state.get(tensor, {})
            tensors |= {f"{what}.{name}": state[what] for what in _STATE if what in state}
        if self._best is not None:
            tensors |= {f"best.{name}": tensor for name, tensor in self._best[1].items()}
        state = {
            "step": self._step,
            "stopped": self._stopped,
            "history": [asdict(evaluation) for evaluation in self._history],
            "best": None if self._best is None else self._best[0],
            "random": self._random.getstate(),
            "left": [order.left for order in self._orders],
        }
        return Checkpoint(made_from=self._spec.made_from, tensors=tensors, state=state)

    def _resume(self) -> None:
        if self._spec.checkpoint is None:
            return
        found = load_checkpoint(self._spec.checkpoint, self._spec.made_from)
        if found is None:
            return
        state: dict[str, Any] = dict(found.state)
        for name, tensor in self._parameters.tensors.items():
            with torch.no_grad():
                tensor.copy_(found.tensors[f"now.{name}"])
            kept = {what: found.tensors[f"{what}.{name}"] for what in _STATE if f"{what}.{name}" in found.tensors}
            if kept:
                self._optimizer.state[tensor] = kept
        self._step, self._stopped = state["step"], state["stopped"]
        self._history = [Evaluation(**evaluation) for evaluation in state["history"]]
        if state["best"] is not None:
            best = {name: found.tensors[f"best.{name}"] for name in self._parameters.tensors}
            self._best = state["best"], best
        version, numbers, gauss = state["random"]
        self._random.setstate((version, tuple(numbers), gauss))
        for order, left in zip(self._orders, state["left"], strict=True):
            order.left = left
