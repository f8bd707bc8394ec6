"""What a recipe's run would do and cost, in lines: from the files, and the model's configuration where it is here.

A run of the model is one prompt with its completion, forward; a gradient counts as one more. Costs are upper bounds
but for sampling, which goes on until there are enough pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakers.plan import STRENGTH_STEPS
from breakers.sites import Component
from breakers.tracing.screening import ScreeningConfig
from server.recipes.checks import check_names
from server.recipes.file import BenignSection, ModelSection, PairsSection, Recipe, TrainSection
from server.recipes.preparing import RunRequest, requested_recipe

_ROUND = 4
"""Replies to a prompt at a time."""
_SCALES = 10
"""That delta is chosen from, for each kind."""
_GRADIENT = 2
"""Runs that a training step on one completion counts as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage in words."""

    name: str
    does: str
    costs: str


def plan_lines(request: RunRequest) -> list[str]:
    """The plan as text.

    Raises:
        ConfigError, PairsError, ClassifiersError: the recipe is none, or names something that does not exist.
    """
    recipe = requested_recipe(request)
    check_names(recipe)
    if recipe.model is None:
        return []
    stages = planned_stages(recipe)
    lines = [f"{request.command}", f"model     {model_line(recipe.model)}"]
    for stage in stages:
        lines += [f"{stage.name:9} {stage.does}", f"{'':9} cost: {stage.costs}"]
    lines.append(f"{'':9} artifacts in runs/{request.folder_name(recipe)} unless --work names another folder")
    if request.rehearse:
        lines.append(f"{'':9} a rehearsal: its bundle is refused by everything that uses bundles")
    return lines


def planned_stages(recipe: Recipe) -> list[PlannedStage]:
    """Every stage, in order."""
    return list(_stages(recipe))


def model_line(section: ModelSection) -> str:
    """Which model, and how it is loaded."""
    if section.is_demo:
        return f"the packaged demo model, {section.dtype}"
    place = section.path if section.hub is None else f"{section.hub}@{str(section.revision)[:12]}"
    copy = f", from {section.path}" if section.hub is not None and section.path is not None else ""
    template = ", ".join(f"{name}={json.dumps(value)}" for name, value in section.template.items())
    said = [section.dtype, f"device {section.device}", template and f"chat template with {template}"]
    said.append("a system prompt" if section.system is not None else "")
    return f"{place}{copy}, {', '.join(part for part in said if part)}"


def _stages(recipe: Recipe) -> Iterator[PlannedStage]:
    yield _pairs(recipe, recipe.pairs)
    if recipe.benign is not None:
        yield _benign(recipe.benign)
    trace, layers = recipe.trace, None if recipe.model is None else _layers(recipe.model)
    yield PlannedStage(
        name="trace",
        does=f"{trace.method} of {trace.components}, {trace.source} patches, measure {trace.measure}, "
        f"{trace.limit} pairs; the best {trace.top_heads} heads and {trace.top_neurons} neurons",
        costs=_trace_cost(recipe, layers),
    )
    refine = recipe.refine
    sets = "sets that the search needs" if refine.max_sets is None else f"{refine.max_sets} sets"
    most = f"at most {_bound(refine.most_heads)} heads and {_bound(refine.most_neurons)} neurons"
    yield PlannedStage(
        name="refine",
        does=f"the smallest set with {refine.tau_kind} {refine.tau:g}; {most}",
        costs=f"2 x {refine.cases} runs for each of the {sets}",
    )
    yield PlannedStage(name="train", does=_training(recipe.train), costs=_training_cost(recipe.train))
    if recipe.gate is None:
        yield PlannedStage(name="bundle", does=f"{recipe.name}, {recipe.licence}; without a gate", costs="none")
        return
    gate = recipe.gate
    prompts = 2 * gate.prompts
    yield PlannedStage(
        name="gate",
        does=f"by {gate.classifier_path or gate.classifier}, on {gate.prompts} provoking and as many benign prompts",
        costs=f"{prompts} x {STRENGTH_STEPS + 1} replies of up to {gate.max_new_tokens} tokens, and as many runs",
    )
    yield PlannedStage(name="bundle", does=f"{recipe.name}, {recipe.licence}", costs="none")


def _pairs(recipe: Recipe, section: PairsSection) -> PlannedStage:
    from breakers.pairs.sources import PairSource, build_source

    source = build_source(section.source)
    own = not isinstance(source, PairSource) if section.sample is None else section.sample
    place = "" if section.hub is None else f" ({section.hub.name})"
    named = section.path if section.hub is None else section.hub.name
    place = "" if named is None else f" ({named})"
    what = f"{section.count} pairs of {source.name}{place}, {source.licence}"
    if not own:
        judged = f", checked by {recipe.scorer}" if section.check else ""
        return PlannedStage(name="pairs", does=f"{what}; its own completions{judged}", costs="none")
    return PlannedStage(
        name="pairs",
        does=f"{what}; the model's own replies, judged by {recipe.scorer}",
        costs=f"at least {section.count} x {_ROUND} replies of up to {section.max_new_tokens} tokens; up to "
        f"{section.samples} a prompt, for as many prompts as it takes",
    )


def _benign(section: BenignSection) -> PlannedStage:
    place = section.path if section.hub is None else section.hub.name
    own = section.replies == "own"
    return PlannedStage(
        name="benign",
        does=f"{section.count} prompts of {place}, {section.replies} replies",
        costs=f"{section.count} replies of up to {section.max_new_tokens} tokens" if own else "none",
    )


def _trace_cost(recipe: Recipe, layers: int | None) -> str:
    trace = recipe.trace
    if trace.method == "exact":
        return f"2 x {trace.limit} runs for each component"
    shown = "layers" if layers is None else str(layers)
    estimating = f"{trace.limit} x {_GRADIENT} x ({shown} + 1) runs to estimate"
    if trace.method == "attribution":
        return estimating
    top = ScreeningConfig(top_heads=trace.top_heads, top_neurons=trace.top_neurons)
    verified = top.candidates(Component.HEAD) + top.candidates(Component.NEURON)
    return f"{estimating}, and 2 x {trace.limit} x {verified} to verify, each from its layer upwards"


def _training(section: TrainSection) -> str:
    kinds = {"both": "a breaker and steering vectors, the better is kept", "steering": "steering vectors"}
    return f"{kinds.get(section.kinds, 'a breaker')}; harm judged on {section.prompts} prompts"


def _training_cost(section: TrainSection) -> str:
    steps = {"both": section.steps + section.steering_steps, "breaker": section.steps}
    count = steps.get(section.kinds, section.steering_steps)
    kinds = 2 if section.kinds == "both" else 1
    replies = section.prompts * (1 + kinds * _SCALES)
    return (
        f"{count} steps x {3 * section.batch} completions x {_GRADIENT} runs; at least {replies} replies of up to "
        f"{section.max_new_tokens} tokens"
    )


def _bound(most: int | None) -> str:
    return "any number of" if most is None else str(most)


def _layers(section: ModelSection) -> int | None:
    """Decoder blocks by the model's configuration, where that is on this machine."""
    path = _config_path(section)
    if path is None or not path.is_file():
        return None
    try:
        found: Any = json.loads(path.read_bytes())
    except ValueError:
        return None
    inner = found.get("text_config", found) if isinstance(found, dict) else {}
    layers = inner.get("num_hidden_layers")
    return layers if isinstance(layers, int) else None


def _config_path(section: ModelSection) -> Path | None:
    if section.path is not None:
        return Path(section.path) / "config.json"
    if section.hub is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(section.hub, "config.json", revision=section.revision)
    return Path(cached) if isinstance(cached, str) else None
