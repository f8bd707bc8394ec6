"""From a recipe to its stages: pairs -> benign -> trace -> refine -> train -> gate -> bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from breakers.errors import StageError
from breakers.fingerprint import fingerprint_model
from breakers.pairs.sources import HubReference
from breakers.pairs.sources.sampled import SamplingConfig
from breakers.pairs.splitting import SplitShares
from breakers.pipeline.stages import Stage, StageRun
from breakers.refinement.evidence import EvidenceConfig
from breakers.refinement.refine import RefineSettings
from breakers.refinement.stage import RefineConfig, chosen_candidates
from breakers.refinement.threshold import chosen_threshold
from breakers.training.calibration import CalibrationConfig
from breakers.training.inputs import InputsConfig
from server.base_model import BaseOptions, load_prepared
from server.cli.pairs_build import PairsBuildConfig
from server.cli.pairs_build import build as build_pairs
from server.cli.refine_stage import BenignConfig, run_refinement
from server.cli.trace_stage import TraceRequest, trace_files
from server.cli.train_stage import BundleTarget, TrainCommand, run_training
from server.recipes.benign import BENIGN, BenignStage, write_benign
from server.recipes.file import HubSection, Recipe, Section
from server.recipes.gating import GatingConfig, fit_and_keep, put_into_bundle
from server.recipes.output import copy_bundle
from server.recipes.places import digests_at, placed

PAIRS = "pairs.jsonl"
DRAFT = "bundle"
"""Folder of the bundle without a gate, within the artifact of stage `train`."""
_NOT_IN_RECORDS = {"path", "classifier_path"}
"""Keys that say where things are; what is there is hashed instead."""

_Make: TypeAlias = "Callable[[RecipeRun, StageRun], None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRun:
    """A recipe with its model at hand."""

    recipe: Recipe
    model: Path | None
    """None for the demo model."""
    base: BaseOptions
    command: str
    rehearsal: bool = False
    """Whether to go on where the model shows no harm, and to mark the bundle as not fit to serve."""

    @property
    def system(self) -> str | None:
        """The system prompt before every conversation."""
        return None if self.recipe.model is None else self.recipe.model.system


def recipe_stages(run: RecipeRun) -> list[Stage]:
    """The stages of a recipe, in order. Loads the model once, for its fingerprint.

    Raises:
        ConfigError: the model, or a file that the recipe names, cannot be read.
    """
    recipe = run.recipe
    common = {
        "behaviour": recipe.behaviour,
        "scorer": recipe.scorer,
        "base": fingerprint_model(load_prepared(run.model, replace(run.base, device="cpu")).model),
        "model": {"dtype": run.base.dtype, "template": dict(run.base.template), "system": run.system},
        "rehearsal": run.rehearsal,
    }
    pairs = {"pairs": f"pairs/{PAIRS}"}
    benign = {} if recipe.benign is None else {"benign": f"benign/{BENIGN}"}
    circuit = pairs | {"circuit": "trace/circuit.json", "effects": "trace/effects.safetensors"}
    members = pairs | {"refined": "refine/refined.json"}
    draft = {name: f"train/{DRAFT}/{name}" for name in ("bundle.json", "weights.safetensors")}
    named = {"name": recipe.name, "licence": recipe.licence}

    def stage(made: str, section: Section, make: _Make, inputs: dict[str, str], **more: Any) -> Stage:
        config = section.model_dump(mode="json", exclude=_NOT_IN_RECORDS) | common | more
        return Stage(name=made, config=config, make=partial(make, run), inputs=inputs)

    found = [stage("pairs", recipe.pairs, _pairs, {}, files=digests_at(recipe.pairs.path))]
    if recipe.benign is not None:
        found.append(stage("benign", recipe.benign, _benign, {}, files=digests_at(recipe.benign.path)))
    found.append(stage("trace", recipe.trace, _trace, pairs))
    found.append(stage("refine", recipe.refine, _refine, circuit | benign))
    found.append(stage("train", recipe.train, _train, members | benign, **named))
    gate: dict[str, str] = {}
    if recipe.gate is not None:
        files = digests_at(recipe.gate.classifier_path)
        found.append(stage("gate", recipe.gate, _gate, draft | pairs | benign, files=files))
        gate = {"table": "gate/table.safetensors", "gate": "gate/gate.json"}
    bundle = Stage(name="bundle", config={"name": recipe.name}, make=partial(_bundle, run), inputs=draft | gate)
    return [*found, bundle]


def _hub(section: HubSection | None) -> HubReference | None:
    return None if section is None else HubReference(**section.model_dump())


def _pairs(run: RecipeRun, stage: StageRun) -> None:
    recipe, section = run.recipe, run.recipe.pairs
    config = PairsBuildConfig(
        source=section.source,
        behaviour=recipe.behaviour,
        out=stage.out / PAIRS,
        path=None if section.path is None else placed(section.path),
        hub=_hub(section.hub),
        sample=section.sample,
        model=run.model,
        base=run.base,
        scorer=recipe.scorer,
        check=section.check,
        sampling=SamplingConfig(
            behaviour=recipe.behaviour,
            count=section.count,
            samples=section.samples,
            least_samples=section.least_samples,
            temperature=section.temperature,
            max_new_tokens=section.max_new_tokens,
            batch_rows=section.batch_rows,
            longest_prompt=section.longest_prompt,
            keep_unfinished=section.keep_unfinished,
            rehearsal=run.rehearsal,
            seed=section.seed,
        ),
        instruction=section.instruction,
        system=run.system,
        shares=SplitShares(validation=section.validation, test=0.0),
        work=stage.out / "sampling.work",
        command=run.command,
    )
    stage.report("build", 0, 0)
    build_pairs(config, lambda tally: stage.report("sample", tally.pairs, section.count))


def _benign(run: RecipeRun, stage: StageRun) -> None:
    section = run.recipe.benign
    if section is None:
        raise StageError("the recipe has no benign section; wanted one for stage benign")
    config = BenignStage(
        model=run.model,
        base=run.base,
        system=run.system,
        path=None if section.path is None else placed(section.path),
        hub=_hub(section.hub),
        own_replies=section.replies == "own",
        count=section.count,
        max_new_tokens=section.max_new_tokens,
        batch=section.batch,
        longest_prompt=section.longest_prompt,
        keep_unfinished=run.rehearsal,
        seed=section.seed,
    )
    write_benign(config, stage.out, lambda done, of: stage.report("reply", done, of))


def _trace(run: RecipeRun, stage: StageRun) -> None:
    section = run.recipe.trace
    request = TraceRequest(
        pairs=stage.inputs["pairs"],
        out=stage.out,
        model=run.model,
        base=run.base,
        behaviour=run.recipe.behaviour,
        limit=section.limit,
        longest=section.longest,
        max_new_tokens=section.max_new_tokens,
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
    skills = BenignConfig(path=stage.inputs.get("benign"), limit=section.benign_limit, seed=section.seed)
    run_refinement(
        config,
        run.model,
        skills,
        run.recipe.scorer,
        lambda step: stage.report(f"{step.phase} sets", step.step + 1, 0),
        run.base,
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
        base=run.base,
        benign=stage.inputs.get("benign"),
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
        margin=section.margin,
        calibration=CalibrationConfig(harm_reduction=section.harm_reduction, preserve_bound=section.preserve_bound),
        max_new_tokens=section.max_new_tokens,
        sampled_replies=section.sampled_replies,
        reply_batch=section.reply_batch,
        rehearsal=run.rehearsal,
        bundle=BundleTarget(path=stage.out / DRAFT, name=recipe.name, licence=recipe.licence),
        command=run.command,
    )
    run_training(command, stage.report)


def _gate(run: RecipeRun, stage: StageRun) -> None:
    section = run.recipe.gate
    if section is None:
        raise StageError("the recipe has no gate section; wanted one for stage gate")
    config = GatingConfig(
        bundle=stage.inputs["bundle.json"].parent,
        model=run.model,
        base=run.base,
        pairs=stage.inputs["pairs"],
        benign=stage.inputs.get("benign"),
        scorer=run.recipe.scorer,
        classifier_path=None if section.classifier_path is None else placed(section.classifier_path),
        section=section,
        rehearsal=run.rehearsal,
        command=run.command,
    )
    fit_and_keep(config, stage.out, lambda done, of: stage.report("tabulate", done, of))


def _bundle(run: RecipeRun, stage: StageRun) -> None:
    # A folder of its own: a bundle's directory holds nothing else.
    out, draft = stage.out / run.recipe.name, stage.inputs["bundle.json"].parent
    if run.recipe.gate is None:
        copy_bundle(draft, out)
        return
    put_into_bundle(draft, stage.inputs["table"], stage.inputs["gate"], out)
