"""From a recipe to its stages: pairs -> trace -> refine -> train -> gate -> bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from breakers.demo import model_path
from breakers.fingerprint import fingerprint_model
from breakers.pairs.sources import HubReference
from breakers.pairs.sources.sampled import SamplingConfig
from breakers.pairs.splitting import SplitShares
from breakers.pipeline.hashing import digest_of_file
from breakers.pipeline.stages import Stage, StageRun
from breakers.refinement.evidence import EvidenceConfig
from breakers.refinement.refine import RefineSettings
from breakers.refinement.stage import RefineConfig, chosen_candidates
from breakers.refinement.threshold import chosen_threshold
from breakers.training.calibration import CalibrationConfig
from breakers.training.inputs import InputsConfig
from server.base_model import load_base
from server.cli.pairs_build import PairsBuildConfig
from server.cli.pairs_build import build as build_pairs
from server.cli.refine_stage import BenignConfig, run_refinement
from server.cli.trace_stage import TraceRequest, trace_files
from server.cli.train_stage import BundleTarget, TrainCommand, run_training
from server.errors import ConfigError
from server.recipes.file import DEMO, Recipe
from server.recipes.gating import GatingConfig, fit_and_keep, put_into_bundle

PAIRS = "pairs.jsonl"
DRAFT = "bundle"
"""Folder of the bundle without a gate, within the artifact of stage `train`."""
_VARIABLE = "$SCALPEL_DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRun:
    """A recipe with what its names stand for."""

    recipe: Recipe
    folder: Path
    """Where relative paths of the recipe begin."""
    command: str

    @property
    def model(self) -> Path | None:
        """None for the demo model."""
        return None if self.recipe.model == DEMO else self.place(self.recipe.model)

    @property
    def benign(self) -> Path | None:
        """None for the demo corpus' own."""
        return None if self.recipe.benign is None else self.place(self.recipe.benign)

    def place(self, name: str) -> Path:
        """A path of the recipe.

        Raises:
            ConfigError: it begins with an environment variable that is not set.
        """
        if name.startswith(_VARIABLE):
            root = os.environ.get(_VARIABLE[1:])
            if not root:
                raise ConfigError(f"{name}: {_VARIABLE} is not set; wanted the folder of the public data sets")
            name = root + name.removeprefix(_VARIABLE)
        return self.folder / name


def recipe_stages(run: RecipeRun) -> list[Stage]:
    """The stages of a recipe, in order. Loads the model once, for its fingerprint.

    Raises:
        ConfigError: the model, or a file that the recipe names, cannot be read.
    """
    recipe = run.recipe
    common = {
        "behaviour": recipe.behaviour,
        "scorer": recipe.scorer,
        "base": fingerprint_model(load_base(str(run.model or model_path())).model),
    }
    benign = {"benign": _digest(run.benign)}
    pairs = {"pairs": f"pairs/{PAIRS}"}
    source = {"files": _source_digest(run)}
    circuit = pairs | {"circuit": "trace/circuit.json", "effects": "trace/effects.safetensors"}
    members = pairs | {"refined": "refine/refined.json"}
    draft = {name: f"train/{DRAFT}/{name}" for name in ("bundle.json", "weights.safetensors")}
    return [
        Stage(name="pairs", config=_config(recipe.pairs, common, source), make=partial(_pairs, run)),
        Stage(name="trace", config=_config(recipe.trace, common), make=partial(_trace, run), inputs=pairs),
        Stage(
            name="refine", config=_config(recipe.refine, common, benign), make=partial(_refine, run), inputs=circuit
        ),
        Stage(
            name="train",
            config=_config(recipe.train, common, benign, {"name": recipe.name, "licence": recipe.licence}),
            make=partial(_train, run),
            inputs=members,
        ),
        Stage(
            name="gate", config=_config(recipe.gate, common, benign), make=partial(_gate, run), inputs=draft | pairs
        ),
        Stage(
            name="bundle",
            config={"name": recipe.name},
            make=partial(_bundle, run),
            inputs=draft | {"table": "gate/table.safetensors", "gate": "gate/gate.json"},
        ),
    ]


def _config(section: BaseModel, *more: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = section.model_dump(mode="json")
    for values in more:
        found |= values
    return found


def _digest(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return digest_of_file(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _source_digest(run: RecipeRun) -> dict[str, str | None]:
    """Hashes of the files that pairs are read from."""
    if run.recipe.pairs.path is None:
        return {}
    place = run.place(run.recipe.pairs.path)
    files = [path for path in sorted(place.rglob("*")) if path.is_file()] if place.is_dir() else [place]
    return {path.name: _digest(path) for path in files}


def _pairs(run: RecipeRun, stage: StageRun) -> None:
    recipe, section = run.recipe, run.recipe.pairs
    config = PairsBuildConfig(
        source=section.source,
        behaviour=recipe.behaviour,
        out=stage.out / PAIRS,
        path=None if section.path is None else run.place(section.path),
        hub=None if section.hub is None else HubReference(**section.hub.model_dump()),
        sample=section.sample,
        model=run.model or model_path(),
        scorer=recipe.scorer,
        sampling=SamplingConfig(
            behaviour=recipe.behaviour,
            count=section.count,
            samples=section.samples,
            least_samples=section.least_samples,
            temperature=section.temperature,
            max_new_tokens=section.max_new_tokens,
            seed=section.seed,
        ),
        instruction=section.instruction,
        shares=SplitShares(validation=section.validation, test=0.0),
        work=stage.out / "sampling.work",
        command=run.command,
    )
    stage.report("build", 0, 0)
    build_pairs(config, lambda tally: stage.report("sample", tally.pairs, section.count))


def _trace(run: RecipeRun, stage: StageRun) -> None:
    section = run.recipe.trace
    request = TraceRequest(
        pairs=stage.inputs["pairs"],
        out=stage.out,
        model=run.model,
        behaviour=run.recipe.behaviour,
        limit=section.limit,
        source=section.source,
        positions=section.positions,
        measure=section.measure,
        scorer=run.recipe.scorer,
        method=section.method,
        components=section.components,
        top_heads=section.top_heads,
        top_neurons=section.top_neurons,
        noise_components=section.noise_components,
        batch_tokens=section.batch_tokens,
        images=section.images,
        seed=section.seed,
        command=run.command,
    )
    trace_files(request, stage.report)


def _refine(run: RecipeRun, stage: StageRun) -> None:
    section = run.recipe.refine
    config = RefineConfig(
        trace=stage.inputs["circuit"].parent,
        pairs=stage.inputs["pairs"],
        out=stage.out,
        settings=RefineSettings(
            threshold=chosen_threshold(section.tau_kind, section.tau),
            tolerance=section.tolerance,
            max_sets=section.max_sets,
            evidence=EvidenceConfig(draws=section.draws, subsets=section.subsets, seed=section.seed),
        ),
        candidates=chosen_candidates(section.candidates),
        strongest=section.strongest,
        most_heads=section.most_heads,
        most_neurons=section.most_neurons,
        cases=section.cases,
        held_out=section.held_out,
        batch_tokens=section.batch_tokens,
        command=run.command,
    )
    skills = BenignConfig(path=run.benign, limit=section.benign_limit, seed=section.seed)
    run_refinement(
        config,
        run.model,
        skills,
        run.recipe.scorer,
        lambda step: stage.report(f"{step.phase} sets", step.step + 1, 0),
    )


def _train(run: RecipeRun, stage: StageRun) -> None:
    recipe, section = run.recipe, run.recipe.train
    command = TrainCommand(
        inputs=InputsConfig(
            circuit=stage.inputs["refined"],
            pairs=stage.inputs["pairs"],
            train_pairs=section.train_pairs,
            validation_pairs=section.validation_pairs,
            prompts=section.prompts,
            longest=section.longest,
            seed=section.seed,
        ),
        out=stage.out,
        model=run.model,
        benign=run.benign,
        benign_limit=section.benign_limit,
        scorer=recipe.scorer,
        kinds=section.kinds,
        rank=section.rank,
        steps=section.steps,
        steering_steps=section.steering_steps,
        norm_limit=section.norm_limit,
        batch=section.batch,
        learning_rate=section.learning_rate,
        steering_learning_rate=section.steering_learning_rate,
        preserve_coef=section.preserve_coef,
        neutral_coef=section.neutral_coef,
        calibration=CalibrationConfig(harm_reduction=section.harm_reduction, preserve_bound=section.preserve_bound),
        bundle=BundleTarget(path=stage.out / DRAFT, name=recipe.name, licence=recipe.licence),
        command=run.command,
    )
    run_training(command, stage.report)


def _gate(run: RecipeRun, stage: StageRun) -> None:
    section = run.recipe.gate
    place = None if section.classifier_path is None else run.place(section.classifier_path)
    config = GatingConfig(
        bundle=stage.inputs["bundle.json"].parent,
        model=run.model,
        pairs=stage.inputs["pairs"],
        benign=run.benign,
        scorer=run.recipe.scorer,
        classifier_path=place,
        section=section,
        command=run.command,
    )
    fit_and_keep(config, stage.out, lambda done, of: stage.report("tabulate", done, of))


def _bundle(run: RecipeRun, stage: StageRun) -> None:
    # A folder of its own: a bundle's directory holds nothing else.
    out = stage.out / run.recipe.name
    put_into_bundle(stage.inputs["bundle.json"].parent, stage.inputs["table"], stage.inputs["gate"], out)
