"""Steering vectors at given sites: neutral minus harmful on average, then optimised by the losses of breakers.

A vector's length is bounded in units of its site's mean activation norm: after each step it is put back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import InterventionError
from breakers.fingerprint import fingerprint_model
from breakers.interventions import SteeringVector
from breakers.sites import Site
from breakers.training.batches import Pair, Sample
from breakers.training.config import TrainingConfig
from breakers.training.data import HeldOut, divided, json_digest
from breakers.training.directions import SiteDifferences, measure_differences
from breakers.training.forward import Forwards
from breakers.training.loop import Judge, Loop, LoopSpec
from breakers.training.trained import Evaluation, Interventions, TrainingResult

_MEASURED_PAIRS = 256
"""Pairs that mean differences and norms are taken from, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringTrainingConfig(TrainingConfig):
    """How to train steering vectors."""

    sites: tuple[Site, ...]
    """Each gets one vector."""
    norm_limit: float = 1.0
    """Longest vector, in mean activation norms of its site."""

    def __post_init__(self) -> None:
        # Not super(): slots make a new class, which the zero-argument form does not know.
        TrainingConfig.__post_init__(self)
        if not self.sites or not self.norm_limit > 0:
            raise InterventionError(
                f"{len(self.sites)} sites, norm_limit {self.norm_limit}; wanted a site and a positive number"
            )


def train_steering(
    model: PreTrainedModel,
    sites: ModelSites,
    config: SteeringTrainingConfig,
    tasks: Mapping[str, Sequence[Pair]],
    benign: Sequence[Sample],
    on_evaluation: Callable[[Evaluation], None] | None = None,
    *,
    held_out: HeldOut | None = None,
    checkpoint: Path | None = None,
    judge: Judge | None = None,
) -> TrainingResult:
    """Train the vectors of each task, which are to act together. The mean differences are the first candidate.

    Args:
        model: the base model; its weights are not changed.
        sites: of that model.
        config: see there.
        tasks: by name, harmful and neutral replies to the same prompts.
        benign: replies that must stay as likely as they are.
        on_evaluation: told of each validation.
        held_out: validation data; a share of the prompts by default.
        checkpoint: file to resume from, where there is one, and to write.
        judge: selects the result by H of generated text; without one, validation loss does.

    Raises:
        InterventionError: no task, too little data, a site whose activations are all 0, or a loss that is not finite.
        StageError: the checkpoint is of another training.
    """
    draw = random.Random(config.seed)
    data = divided(tasks, benign, held_out, config, draw)
    forwards = Forwards(model, sites, data.samples, config.kept_bytes)
    measured = []
    for column in range(len(data.names)):
        pairs = [row.pair for row in data.rows if row.column == column][:_MEASURED_PAIRS]
        measured.append(measure_differences(model, sites, config.sites, pairs))
    parameters = _VectorParameters(config, data.names, measured)
    judged_by = None if judge is None else judge.name
    made_from = json_digest(["steering", asdict(config), data.digest, fingerprint_model(model), judged_by])
    spec = LoopSpec(made_from=made_from, checkpoint=checkpoint, judge=judge, evaluate_start=True)
    return Loop(forwards, config, parameters, data, draw, spec).run(on_evaluation)


class _VectorParameters:
    """One vector of each task at each site, in units in which a coordinate of about 1 is an activation's."""

    def __init__(
        self,
        config: SteeringTrainingConfig,
        names: Sequence[str],
        measured: Sequence[Mapping[Site, SiteDifferences]],
    ) -> None:
        self._sites, self._names, self._limit = config.sites, names, config.norm_limit
        self.tensors: dict[str, Tensor] = {}
        self._units: dict[str, float] = {}
        for task, found in enumerate(measured):
            for at, site in enumerate(config.sites):
                differences = found[site]
                if differences.mean_norm == 0:
                    raise InterventionError(f"activations at {site} are all 0; wanted a site that is in use")
                name = f"{task}.{at}.vector"
                self._units[name] = differences.mean_norm / len(differences.mean) ** 0.5
                self.tensors[name] = (differences.mean / self._units[name]).requires_grad_()
        self.project()

    def interventions(self, tensors: Mapping[str, Tensor]) -> Interventions:
        return {
            name: tuple(
                SteeringVector(site=site, vector=self._vector(tensors, f"{task}.{at}.vector"))
                for at, site in enumerate(self._sites)
            )
            for task, name in enumerate(self._names)
        }

    @torch.no_grad()
    def project(self) -> None:
        for tensor in self.tensors.values():
            tensor.copy_(within(tensor, self._limit * len(tensor) ** 0.5))

    def _vector(self, tensors: Mapping[str, Tensor], name: str) -> Tensor:
        return tensors[name] * self._units[name]


def within(vector: Float[Tensor, " d"], limit: float) -> Float[Tensor, " d"]:
    """The vector, shortened to `limit` if it is longer."""
    norm = float(vector.norm())
    return vector if norm <= limit else vector * (limit / norm)
