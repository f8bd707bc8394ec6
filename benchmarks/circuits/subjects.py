"""What is measured of one behaviour: its shipped bundle, the chain that it was made by, and its recipe.

The chain's `refined.json` has to be the one that the bundle names, and the pairs those that the circuit was found
with; so what baselines are trained on is what the breaker was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.circuits.options import Options
from benchmarks.errors import CircuitsError
from benchmarks.history import root
from breakers.bundles import Bundle, load_bundle
from breakers.bundles.verify import sha256
from breakers.demo import model_path
from breakers.demo.make_bundles import DemoBundlesConfig, DemoModel, draw_material
from breakers.pipeline.runner import run_stages
from breakers.refinement.artifact import REFINED_NAME, read_refined
from breakers.refinement.manifest import RefinedManifest
from breakers.sites import Component
from breakers.training.inputs import InputsConfig, read_inputs
from breakers.training.stage_spec import TrainStageInputs
from server.base_model import BaseOptions
from server.recipes.file import Recipe, read_recipe
from server.recipes.stages import PAIRS, RecipeRun, recipe_stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One behaviour's breaker."""

    behaviour: str
    bundle: Bundle
    circuit: RefinedManifest
    refined: Path
    recipe: Recipe
    pairs: Path


def read_subject(behaviour: str, options: Options) -> Subject:
    """Read and check; the pairs are made by the recipe's first stage where the chain does not hold them.

    Raises:
        CircuitsError: the bundle was not made from the chain's circuit, or acts beside heads and neurons.
        BreakersError: a file cannot be read.
    """
    bundle = load_bundle(options.bundles / behaviour)
    folder = options.chains / behaviour
    refined = folder / "refine" / REFINED_NAME
    circuit = read_refined(refined)
    found, wanted = sha256(refined.read_bytes()), bundle.manifest.made_from.get("circuit", "none")
    if found != wanted:
        raise CircuitsError(
            f"{refined} is {found[:19]}..., bundle {behaviour} was made from circuit {wanted[:19]}...; wanted the "
            "chain of that bundle: keep it with `python -m benchmarks.case_studies keep RUN...`"
        )
    beside = sorted({str(part.site) for part in bundle.interventions if part.site.component is Component.RESID})
    if beside:
        raise CircuitsError(f"bundle {behaviour} acts at {', '.join(beside)}; wanted heads and neurons only")
    recipe_path = root() / "recipes" / f"demo-{behaviour.replace('_', '-')}.yaml"
    recipe = read_recipe(recipe_path)
    pairs = folder / "pairs" / PAIRS
    if not pairs.is_file():
        pairs = _made_pairs(recipe, recipe_path, options.work / "pairs" / behaviour)
    return Subject(behaviour=behaviour, bundle=bundle, circuit=circuit, refined=refined, recipe=recipe, pairs=pairs)


def training_inputs(subject: Subject, base: DemoModel) -> TrainStageInputs:
    """Pairs and benign samples as the recipe's stage `train` takes them.

    Raises:
        StageError: the pairs are not those that the circuit was found with.
    """
    section = subject.recipe.train
    wanted = DemoBundlesConfig(
        out=subject.pairs.parent, model=model_path(), pairs=1, benign=section.benign_limit, seed=section.seed
    )
    config = InputsConfig(
        circuit=subject.refined,
        pairs=subject.pairs,
        train_pairs=section.train_pairs,
        validation_pairs=section.validation_pairs,
        prompts=section.prompts,
        longest=section.longest,
        seed=section.seed,
    )
    benign = draw_material(base, [subject.behaviour], wanted).benign
    return read_inputs(config, subject.circuit, base.tokenizer, benign)


def _made_pairs(recipe: Recipe, path: Path, work: Path) -> Path:
    command = f"scalpel recipe run {path.name}"
    stages = recipe_stages(RecipeRun(recipe=recipe, model=None, base=BaseOptions(), command=command))
    [pairs] = run_stages(stages, work, command, lambda _stage: _silent, until="pairs")
    return pairs.folder / PAIRS


def _silent(_what: str, _done: int, _steps: int) -> None:
    return None
