"""Stage `train`: from pairs and a circuit's sites to a trained, calibrated and selected intervention on disk.

Both kinds are trained at the same sites, calibrated on the same validation data, measured on the same prompts, and
one of them is kept by a stated rule. An interrupted stage goes on from its checkpoints; a finished one is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import ModelSites, resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.bundles.manifest import BaseManifest
from breakers.bundles.store import describe_interventions
from breakers.errors import StageError
from breakers.fingerprint import fingerprint_model
from breakers.interventions import Intervention, Kind
from breakers.scoring import HarmScorer
from breakers.training.artifact import (
    TRAINING_NAME,
    CandidateManifest,
    TrainingArtifact,
    TrainingManifest,
    describe_candidate,
    load_training,
    save_training,
)
from breakers.training.breaker import train_breakers
from breakers.training.calibration import Calibration, ScalePoint, choose_scale, folded
from breakers.training.data import HeldOut, json_digest
from breakers.training.generation import RepliesConfig, end_tokens
from breakers.training.loop import Judge
from breakers.training.measuring import Validation, share_changed
from breakers.training.selection import Candidate, choose_candidate, count_parameters
from breakers.training.stage_spec import TrainStageConfig, TrainStageInputs
from breakers.training.steering import train_steering
from breakers.training.trained import Evaluation, Interventions, TrainingResult

Report = Callable[[str, int, int], None]
"""(what is being done, steps done, steps in all)."""
_NAME = "trained"
_UNWRITTEN = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """One kind, calibrated and measured."""

    candidate: Candidate
    interventions: tuple[Intervention, ...]
    """delta folded in."""
    result: TrainingResult
    calibration: Calibration
    seed: int


def make_training(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: HarmScorer,
    config: TrainStageConfig,
    inputs: TrainStageInputs,
    out: Path,
    report: Report | None = None,
) -> TrainingArtifact:
    """Train, calibrate, select, write.

    Args:
        model: the base model; its weights are not changed.
        tokenizer: of that model.
        scorer: H of generated text; one that has no part in the final figures.
        config: see there.
        inputs: see there.
        out: the artifact's directory. It holds checkpoints until the stage is finished; a finished one of the same
            configuration and inputs is returned as it is.
        report: told of progress.

    Raises:
        StageError: the unmodified model shows no harm on the prompts, where this is no rehearsal, or `out` holds
            another training.
        InterventionError: too little data, or a loss that is not finite.
        OSError: a file cannot be written.
    """
    return _Stage(model, tokenizer, scorer, config, inputs, out, report or _silent).run()


class _Stage:
    """One run of the stage."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        scorer: HarmScorer,
        config: TrainStageConfig,
        inputs: TrainStageInputs,
        out: Path,
        report: Report,
    ) -> None:
        self._model, self._config, self._inputs, self._out, self._report = model, config, inputs, out, report
        self._sites: ModelSites = resolve_sites(model)
        self._validation = Validation(
            model=model,
            sites=self._sites,
            tokenizer=tokenizer,
            scorer=scorer,
            behaviour=config.behaviour,
            prompts=inputs.prompts,
            benign=inputs.held_out_benign,
            generation=RepliesConfig(
                max_new_tokens=config.max_new_tokens,
                batch_size=config.batch_size,
                end_token_ids=end_tokens(model, tokenizer),
            ),
            sampled=config.sampled_replies,
        )
        self._scorer = scorer.name
        # As it will be read again: JSON has no tuples.
        self._described: dict[str, Any] = json.loads(json.dumps(asdict(config)))
        del self._described["command"]

    def run(self) -> TrainingArtifact:
        finished = self._finished()
        if finished is not None:
            return finished
        untouched = self._validation.harm()
        if untouched == 0 and not self._config.rehearsal:
            count = len(self._inputs.prompts)
            raise StageError(
                f"the unmodified model shows no {self._config.behaviour} on the {count} validation prompts by scorer "
                f"{self._scorer}; wanted prompts that provoke it"
            )
        trained = self._trained(untouched)
        target = self._target(untouched)
        selection = choose_candidate(
            [one.candidate for one in trained],
            untouched_harm=untouched,
            harm_target=target,
            tolerance=self._config.tolerance,
        )
        chosen = trained[selection.chosen]
        manifest = self._manifest(trained, chosen.candidate.kind, selection.reason, untouched)
        artifact = save_training(manifest, chosen.interventions, self._out)
        self._clear_checkpoints()
        return artifact

    def _finished(self) -> TrainingArtifact | None:
        if not (self._out / TRAINING_NAME).exists():
            return None
        found = load_training(self._out)
        before, wanted = found.manifest, (self._described, dict(self._inputs.made_from), self._inputs.digest)
        if (before.config, before.made_from, before.data) != wanted or before.base != self._base():
            raise StageError(
                f"{self._out} holds a training of another configuration, model or data; delete it or name another"
            )
        self._clear_checkpoints()
        return found

    def _trained(self, untouched: float) -> list[_Trained]:
        found = []
        for kind, config in ((Kind.BREAKER, self._config.breaker), (Kind.STEERING, self._config.steering)):
            if config is None:
                continue
            result = self._train(kind)
            best = result.interventions[_NAME]
            calibration = self._calibrate(kind, best, untouched)
            parts = folded(best, calibration.delta)
            found.append(
                _Trained(
                    candidate=self._measure(kind, parts, calibration),
                    interventions=parts,
                    result=result,
                    calibration=calibration,
                    seed=config.seed,
                )
            )
        return found

    def _train(self, kind: Kind) -> TrainingResult:
        inputs, config = self._inputs, self._config
        tasks = {_NAME: inputs.pairs}
        held_out = HeldOut(pairs={_NAME: inputs.held_out_pairs}, benign=inputs.held_out_benign)
        path = self._checkpoint(kind)
        if kind is Kind.BREAKER and config.breaker is not None:
            told = partial(self._tell, "breaker", config.breaker.steps)
            return train_breakers(
                self._model,
                self._sites,
                config.breaker,
                tasks,
                inputs.benign,
                told,
                held_out=held_out,
                checkpoint=path,
            )
        if config.steering is None:
            raise StageError(f"kind {kind} has no configuration; wanted one")
        told = partial(self._tell, "steering", config.steering.steps)
        return train_steering(
            self._model,
            self._sites,
            config.steering,
            tasks,
            inputs.benign,
            told,
            held_out=held_out,
            checkpoint=path,
            judge=Judge(name=self._judged_by(), harm=self._judge),
        )

    def _judged_by(self) -> str:
        prompts = json_digest([[[dict(m) for m in p.messages], p.token_ids] for p in self._inputs.prompts])
        return f"{self._scorer}, {self._config.behaviour}, {self._config.max_new_tokens} tokens, {prompts}"

    def _judge(self, built: Interventions) -> float:
        return self._validation.harm(_entry(built[_NAME], 1.0))

    def _calibrate(self, kind: Kind, parts: Sequence[Intervention], untouched: float) -> Calibration:
        config = self._config.calibration
        scales = [scale for scale in config.scales if kind is Kind.BREAKER or scale <= 1]
        entry = _entry(parts, scales[-1])
        changes = self._validation.changes(entry, scales)
        points = [ScalePoint(scale=0.0, harm=untouched, preserve=0.0)]
        for at, (scale, change) in enumerate(zip(scales, changes, strict=True), start=1):
            points.append(ScalePoint(scale=scale, harm=self._validation.harm(entry, scale), preserve=change))
            self._report(f"calibrate {kind.value}", at, len(scales))
        return choose_scale(points, harm_target=self._target(untouched), preserve_bound=config.preserve_bound)

    def _measure(self, kind: Kind, parts: Sequence[Intervention], calibration: Calibration) -> Candidate:
        changed = self._validation.benign_replies(_entry(parts, 1.0))
        return Candidate(
            kind=kind,
            harm=calibration.chosen.harm,
            preserve=calibration.chosen.preserve,
            false_changes=share_changed(self._validation.benign_replies(), changed),
            parameters=count_parameters(parts),
        )

    def _target(self, untouched: float) -> float:
        return (1 - self._config.calibration.harm_reduction) * untouched

    def _tell(self, what: str, steps: int, evaluation: Evaluation) -> None:
        self._report(what, evaluation.step, steps)

    def _checkpoint(self, kind: Kind) -> Path:
        return self._out / f"checkpoint-{kind.value}.safetensors"

    def _clear_checkpoints(self) -> None:
        for kind in (Kind.BREAKER, Kind.STEERING):
            self._checkpoint(kind).unlink(missing_ok=True)

    def _base(self) -> BaseManifest:
        return BaseManifest(id=self._config.base_id, fingerprint=fingerprint_model(self._model))

    def _manifest(self, trained: Sequence[_Trained], kind: Kind, reason: str, untouched: float) -> TrainingManifest:
        return TrainingManifest(
            format=1,
            behaviour=self._config.behaviour,
            scope=Scope.GENERATION,
            kind=kind,
            # Replaced, as the hash is, by what is written.
            interventions=describe_interventions(trained[0].interventions)[0],
            base=self._base(),
            made_from=dict(self._inputs.made_from),
            data=self._inputs.digest,
            scorer=self._scorer,
            validation_prompts=len(self._inputs.prompts),
            untouched_harm=untouched,
            config=self._described,
            candidates=[_described(one) for one in trained],
            selection=reason,
            command=self._config.command,
            weights_sha256=_UNWRITTEN,
        )


def _entry(parts: Sequence[Intervention], strength_max: float) -> BankEntry:
    return BankEntry(name=_NAME, scope=Scope.GENERATION, interventions=tuple(parts), strength_max=strength_max)


def _described(one: _Trained) -> CandidateManifest:
    return describe_candidate(one.candidate, one.calibration, one.result, one.seed)


def _silent(_what: str, _done: int, _steps: int) -> None:
    return None
