"""A training's artifact: `weights.safetensors` and `training.json`, which says what was trained, from what, and why.

It has no times in it: the same training on the same inputs writes the same bytes, so that hashes can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from breakers.bank import BankEntry, Scope
from breakers.bundles.files import read_file
from breakers.bundles.limits import MANIFEST_LIMIT, WEIGHTS_LIMIT
from breakers.bundles.making import BundleDraft
from breakers.bundles.manifest import (
    BaseManifest,
    Finite,
    InterventionManifest,
    Label,
    Line,
    Paragraphs,
    Sha256,
    describe,
)
from breakers.bundles.store import describe_interventions, sha256, write_atomically
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, StageError
from breakers.interventions import Breaker, Intervention, Kind, SteeringVector
from breakers.training.calibration import Calibration
from breakers.training.selection import Candidate
from breakers.training.trained import TrainingResult

TRAINING_NAME = "training.json"
WEIGHTS_NAME = "weights.safetensors"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EvaluationManifest(_Model):
    """One validation during training."""

    step: int
    harm: Finite
    preserve: Finite
    margin: Finite
    total: Finite
    neutral_preserve: Finite
    generated_harm: Finite | None


class ScalePointManifest(_Model):
    """One scale of the calibration's curve."""

    scale: Finite
    harm: Finite
    preserve: Finite


class CalibrationManifest(_Model):
    """How delta was chosen; the weights have it folded in."""

    delta: Finite
    reached: bool
    harm_target: Finite
    preserve_bound: Finite
    curve: list[ScalePointManifest]
    reason: Paragraphs


class CandidateManifest(_Model):
    """One kind that was trained."""

    kind: Kind = Field(strict=False)
    seed: int
    reused_prompts: bool
    """Whether steps ran replies alone, from kept states of their prompts."""
    best_step: int
    history: list[EvaluationManifest] = Field(min_length=1)
    calibration: CalibrationManifest
    harm: Finite
    """Mean H of generated text on the validation prompts."""
    preserve: Finite
    """KL on benign validation samples, nats a token."""
    false_changes: Finite
    """Share of benign validation prompts whose greedy reply is another one."""
    parameters: int


class TrainingManifest(_Model):
    """Everything in `training.json`."""

    format: Literal[1]
    behaviour: Label
    scope: Scope = Field(strict=False)
    kind: Kind = Field(strict=False)
    """Of the weights: the chosen candidate's."""
    interventions: list[InterventionManifest] = Field(min_length=1)
    base: BaseManifest
    made_from: dict[Label, Sha256]
    """Hashes of the inputs: pairs, circuit."""
    data: Sha256
    """Over the token ids that were trained and measured on."""
    scorer: Line
    """What judged generated text."""
    validation_prompts: int
    untouched_harm: Finite
    """Mean H of the unmodified model on them."""
    config: dict[str, Any]
    """The stage's whole configuration but for the command."""
    candidates: list[CandidateManifest] = Field(min_length=1)
    selection: Paragraphs
    """Why this kind was kept."""
    command: Paragraphs
    weights_sha256: Sha256


def describe_candidate(
    candidate: Candidate, calibration: Calibration, result: TrainingResult, seed: int
) -> CandidateManifest:
    """One kind as `training.json` has it."""
    return CandidateManifest(
        **asdict(candidate),
        seed=seed,
        reused_prompts=result.reused_prompts,
        best_step=result.best.step,
        history=[EvaluationManifest(**asdict(evaluation)) for evaluation in result.history],
        calibration=CalibrationManifest(
            delta=calibration.delta,
            reached=calibration.reached,
            harm_target=calibration.harm_target,
            preserve_bound=calibration.preserve_bound,
            curve=[ScalePointManifest(**asdict(point)) for point in calibration.curve],
            reason=calibration.reason,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingArtifact:
    """A finished training, read and verified."""

    path: Path
    manifest: TrainingManifest
    sha256: str
    """Of `training.json`, which holds that of the weights."""
    interventions: tuple[Intervention, ...]

    def draft(self, *, name: str, licence: str, strength_max: float = 1.0, command: str | None = None) -> BundleDraft:
        """What `make_bundle` makes the bundle from; the reasons of the selection are its description.

        Args:
            name: of the bundle.
            licence: of the bundle.
            strength_max: highest strength that a plan may ask for.
            command: how the bundle was made, the training's command by default.
        """
        chosen = next(c for c in self.manifest.candidates if c.kind is self.manifest.kind)
        where = f"{len(self.interventions)} {self.manifest.kind.value} parts at the sites of a traced circuit."
        return BundleDraft(
            entry=BankEntry(
                name=name, scope=self.manifest.scope, interventions=self.interventions, strength_max=strength_max
            ),
            behaviour=self.manifest.behaviour,
            base_id=self.manifest.base.id,
            licence=licence,
            command=command or self.manifest.command,
            description=f"{where} {self.manifest.selection} Calibration: {chosen.calibration.reason}.",
            made_from={**self.manifest.made_from, "training": self.sha256},
        )


def save_training(manifest: TrainingManifest, interventions: Sequence[Intervention], path: Path) -> TrainingArtifact:
    """Write the artifact and load it again.

    Args:
        manifest: its `interventions` and `weights_sha256` are replaced by what is written.
        interventions: of the chosen candidate.
        path: the directory, made if needed.

    Raises:
        OSError: the files cannot be written; `training.json`, written last, stands for both.
    """
    declared, tensors = describe_interventions(interventions)
    data = save_safetensors(tensors)
    complete = manifest.model_copy(update={"interventions": declared, "weights_sha256": sha256(data)})
    text = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / WEIGHTS_NAME, data)
    write_atomically(path / TRAINING_NAME, text.encode())
    return load_training(path)


def load_training(path: Path) -> TrainingArtifact:
    """Read a training's directory and verify it.

    Raises:
        StageError: a file is missing, not what it should be, or not the one that the manifest declares.
    """
    where = path / TRAINING_NAME
    try:
        data, weights = read_file(where, MANIFEST_LIMIT), read_file(path / WEIGHTS_NAME, WEIGHTS_LIMIT)
        manifest = TrainingManifest.model_validate(parse_object(data, str(where)))
    except BundleFormatError as error:
        raise StageError(str(error)) from error
    except ValidationError as error:
        raise StageError(f"{where}: {describe(error)}") from error
    if sha256(weights) != manifest.weights_sha256:
        raise StageError(f"{path / WEIGHTS_NAME} has {sha256(weights)}; {TRAINING_NAME} declares another")
    tensors = load_safetensors(weights)
    parts = tuple(_intervention(declared, tensors) for declared in manifest.interventions)
    return TrainingArtifact(path=path, manifest=manifest, sha256=sha256(data), interventions=parts)


def _intervention(declared: InterventionManifest, tensors: dict[str, Any]) -> Intervention:
    site = declared.site.site()
    named = {role: tensors[name] for role, name in declared.tensors.items()}
    if declared.kind is Kind.BREAKER:
        return Breaker(site=site, down=named["down"], up=named["up"])
    if declared.kind is Kind.STEERING:
        return SteeringVector(site=site, vector=named["vector"])
    raise StageError(f"a training has a {declared.kind} at {site}; wanted breakers or steering vectors")
