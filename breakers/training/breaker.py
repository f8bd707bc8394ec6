"""Direct training of low-rank breakers at given sites, several behaviours at a time.

    minimise  lambda_1 L_harm + lambda_2 L_preserve

L_harm lowers harmful replies against neutral ones; L_preserve keeps the model's distribution on benign replies and,
where it has a weight, on neutral ones. Breakers that are served together are trained together: each row of a batch
has its own set of them switched on, all of them in half of the rows, so that neither loss depends on a breaker
acting alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import InterventionError
from breakers.fingerprint import fingerprint_model
from breakers.interventions import Breaker
from breakers.sites import Site
from breakers.training.batches import Pair, Sample
from breakers.training.config import TrainingConfig
from breakers.training.data import HeldOut, TrainingData, divided, json_digest
from breakers.training.directions import measure_differences, principal_directions
from breakers.training.forward import Forwards
from breakers.training.loop import Judge, Loop, LoopSpec
from breakers.training.trained import Evaluation, Interventions, TrainingResult

__all__ = ["BreakerTrainingConfig", "Evaluation", "Initial", "train_breakers"]

_MEASURED_PAIRS = 256
"""Pairs that initial directions are taken from, at most."""


class Initial(StrEnum):
    """Where `down` starts; `up` starts at 0, which is the unmodified model."""

    RANDOM = "random"
    DIFFERENCES = "differences"
    """The principal directions of the differences between activations on neutral and on harmful replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTrainingConfig(TrainingConfig):
    """How to train breakers."""

    sites: tuple[Site, ...]
    """Of each breaker."""
    rank: int = 4
    """Of each part; less at sites that are not as wide."""
    initial: Initial = Initial.RANDOM

    def __post_init__(self) -> None:
        # Not super(): slots make a new class, which the zero-argument form does not know.
        TrainingConfig.__post_init__(self)
        if not self.sites or self.rank < 1:
            raise InterventionError(f"{len(self.sites)} sites, rank {self.rank}; wanted at least one of each")


def train_breakers(
    model: PreTrainedModel,
    sites: ModelSites,
    config: BreakerTrainingConfig,
    tasks: Mapping[str, Sequence[Pair]],
    benign: Sequence[Sample],
    on_evaluation: Callable[[Evaluation], None] | None = None,
    *,
    held_out: HeldOut | None = None,
    checkpoint: Path | None = None,
    judge: Judge | None = None,
) -> TrainingResult:
    """Train one breaker per task, which are to act together; each has one low-rank part at every site.

    Args:
        model: the base model; its weights are not changed.
        sites: of that model.
        config: see there.
        tasks: by the breaker's name, harmful and neutral replies to the same prompts.
        benign: replies that must stay as likely as they are.
        on_evaluation: told of each validation.
        held_out: validation data; a share of the prompts by default.
        checkpoint: file to resume from, where there is one, and to write.
        judge: selects the result by H of generated text, before the losses.

    Raises:
        InterventionError: no task, too little data, or a loss that is not finite.
        StageError: the checkpoint is of another training.
    """
    draw = random.Random(config.seed)
    data = divided(tasks, benign, held_out, config, draw)
    forwards = Forwards(model, sites, data.samples, config.kept_bytes)
    judged_by = None if judge is None else judge.name
    made_from = json_digest(["breaker", asdict(config), data.digest, fingerprint_model(model), judged_by])
    spec = LoopSpec(made_from=made_from, checkpoint=checkpoint, judge=judge)
    parameters = _BreakerParameters(config, data.names, _initial(model, sites, config, data))
    return Loop(forwards, config, parameters, data, draw, spec).run(on_evaluation)


class _BreakerParameters:
    """`down` and `up` of each task at each site."""

    def __init__(
        self, config: BreakerTrainingConfig, names: Sequence[str], initial: Sequence[Sequence[Tensor]]
    ) -> None:
        self._sites, self._names = config.sites, names
        self.tensors: dict[str, Tensor] = {}
        for task, downs in enumerate(initial):
            for at, down in enumerate(downs):
                self.tensors[f"{task}.{at}.down"] = down.requires_grad_()
                self.tensors[f"{task}.{at}.up"] = torch.zeros(down.shape[::-1]).requires_grad_()

    def interventions(self, tensors: Mapping[str, Tensor]) -> Interventions:
        return {
            name: tuple(
                Breaker(site=site, down=tensors[f"{task}.{at}.down"], up=tensors[f"{task}.{at}.up"])
                for at, site in enumerate(self._sites)
            )
            for task, name in enumerate(self._names)
        }

    def project(self) -> None:
        """Breakers have no bound."""


def _initial(
    model: PreTrainedModel, sites: ModelSites, config: BreakerTrainingConfig, data: TrainingData
) -> list[list[Tensor]]:
    """`down` of each task at each site; its rows have a length of about 1."""
    generator = torch.Generator().manual_seed(config.seed)
    downs = []
    for _ in data.names:
        of_task = []
        for site in config.sites:
            width = len(sites.channels(site))
            of_task.append(torch.randn(min(config.rank, width), width, generator=generator) / width**0.5)
        downs.append(of_task)
    if config.initial is Initial.DIFFERENCES:
        for task, of_task in enumerate(downs):
            pairs = [row.pair for row in data.rows if row.column == task][:_MEASURED_PAIRS]
            found = measure_differences(model, sites, config.sites, pairs)
            for site, down in zip(config.sites, of_task, strict=True):
                directions = principal_directions(found[site].by_pair, len(down))
                down[: len(directions)] = directions
    return downs
