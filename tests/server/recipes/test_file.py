"""Recipes as YAML: what is left out has a default, what is unknown is refused with its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from server.errors import ConfigError
from server.recipes.file import Recipe, read_recipe
from server.recipes.preparing import RunRequest, requested_recipe

LEAST = "format: 1\nname: toxicity\nbehaviour: toxicity\nlicence: Apache-2.0\n"
ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def read(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def test_four_keys_are_a_recipe_for_the_demo_model(tmp_path: Path) -> None:
    recipe = read(tmp_path, LEAST)
    assert (recipe.scorer, recipe.pairs.source, recipe.pairs.count) == ("demo", "demo", 800)
    assert recipe.model is not None
    assert recipe.model.is_demo
    assert read(tmp_path, LEAST + "model: demo\n") == recipe
    assert recipe.train.kinds == "both"


def test_sections_say_what_differs(tmp_path: Path) -> None:
    recipe = read(tmp_path, LEAST + "trace: {measure: harm, limit: 12}\ntrain: {rank: 2, learning_rate: 0.5}\n")
    assert (recipe.trace.measure, recipe.trace.limit, recipe.trace.source) == ("harm", 12, "contrast")
    assert (recipe.train.rank, recipe.train.learning_rate) == (2, 0.5)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("tracing: {}", "tracing: unknown key; accepted: .*trace, train"),
        ("trace: {measur: harm}", "trace.measur: unknown key; accepted: .*measure"),
        ("trace: {measure: hram}", "trace.measure: .*'lead' or 'harm'.*found 'hram'"),
        ("pairs: {count: 0}", "pairs.count: .*greater than or equal to 1 .found 0"),
        ("pairs: {count: '800'}", "pairs.count: .*valid integer .found '800'"),
        ("pairs: {path: a, hub: {name: b/c}}", "path, hub: wanted at most one of them"),
        ("model: elsewhere", "model: Value error, wanted demo, null, or keys such as path .found 'elsewhere'"),
        ("model: {path: elsewhere}", "benign: wanted a place of benign prompts"),
        ("model: null", "benign: wanted a place of benign prompts"),
        ("model: {hub: a/b}", "hub, revision: wanted both or neither"),
        ("model: {hub: a/b, revision: main}", "model.revision: String should match pattern"),
        ("model: {hubb: a/b}", "model.hubb: unknown key; accepted: device, dtype, hub"),
        ("model: {template: {'a b': 1}}", "template: 'a b' is no name of a variable"),
        ("benign: {}", "path, hub: wanted one of them"),
        ("benign: {path: a, hub: {name: b/c}}", "path, hub: wanted one of them"),
        ("benign: {hub: {name: b/c}, replies: given}", "replies: given ones are read from a file"),
        ("format: 2", "twice"),
        ("train: {steps: 5, steps: 6}", "the key 'steps' stands here twice"),
    ],
)
def test_what_no_stage_knows_is_refused(tmp_path: Path, more: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        read(tmp_path, LEAST + more)


@pytest.mark.parametrize("key", ["format", "name", "behaviour", "licence"])
def test_what_has_no_default_is_asked_for(tmp_path: Path, key: str) -> None:
    text = "".join(line for line in LEAST.splitlines(keepends=True) if not line.startswith(key))
    with pytest.raises(ConfigError, match=f"{key}: Field required"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        read_recipe(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_this_repository_are_recipes(path: Path) -> None:
    recipe = read_recipe(path)
    assert path.stem.endswith(recipe.name.replace("_", "-"))
    assert recipe.model is None or path.stem.startswith("demo-")


@pytest.mark.parametrize("model", sorted(path.stem for path in (ROOT / "recipes" / "models").iterdir()))
@pytest.mark.parametrize("path", [path for path in RECIPES if "demo" not in path.stem], ids=lambda path: path.stem)
def test_every_recipe_goes_with_every_model(path: Path, model: str) -> None:
    recipe, alone = read_recipe(path, model), read_recipe(path)
    assert recipe.model is not None
    assert recipe.model.hub is not None
    # What is made, and how it is judged, is the recipe's; a section that it leaves out stays out.
    for name in ("name", "behaviour", "scorer"):
        assert getattr(recipe, name) == getattr(alone, name)
    assert (recipe.gate is None) == (alone.gate is None)
    assert (recipe.pairs.source, recipe.trace.source) == (alone.pairs.source, "completion")


MODEL = "model: {path: there}\ntrace: {limit: 3}\ngate: {batch: 2}\n"
OPEN = LEAST + "model: null\nbenign: {path: b.jsonl}\ntrace: {limit: 9, top_heads: 2}\ngate: null\n"


def layers(folder: Path, *changes: str) -> Recipe:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "tiny.yaml").write_text(MODEL, encoding="utf-8")
    (folder / "recipe.yaml").write_text(OPEN, encoding="utf-8")
    return read_recipe(folder / "recipe.yaml", "tiny", changes)


def test_a_model_wins_over_a_recipe_and_a_change_over_both(tmp_path: Path) -> None:
    recipe = layers(tmp_path)
    assert recipe.model is not None
    assert recipe.benign is not None
    # Each layer's paths begin where it lies.
    assert (recipe.model.path, recipe.benign.path) == (str(tmp_path / "models" / "there"), str(tmp_path / "b.jsonl"))
    assert (recipe.trace.limit, recipe.trace.top_heads, recipe.gate) == (3, 2, None)
    changed = layers(tmp_path, "trace.limit=5", "gate.prompts=7", "benign.path=c.jsonl", "model.template={x: false}")
    assert changed.gate is not None
    assert changed.model is not None
    assert changed.benign is not None
    assert (changed.trace.limit, changed.gate.prompts, changed.benign.path) == (5, 7, "c.jsonl")
    assert changed.model.template == {"x": False}


def test_a_model_may_be_named_by_its_file(tmp_path: Path) -> None:
    by_name = layers(tmp_path)
    assert read_recipe(tmp_path / "recipe.yaml", str(tmp_path / "models" / "tiny.yaml")) == by_name


@pytest.mark.parametrize(
    ("model", "change", "wanted"),
    [
        ("none", "trace.limit=1", "no model is called 'none', and no file; wanted one of tiny, or a file"),
        ("tiny", "trace.limit", "--set trace.limit: wanted section.key=value"),
        ("tiny", "trace.limit=[", r"--set trace.limit=\[: the value is not YAML"),
        ("tiny", "trace.limits=1", "with --model tiny: trace.limits: unknown key"),
        ("recipe.yaml", "trace.limit=1", "recipe.yaml: has no section model; wanted a model's file"),
        ("other.yaml", "trace.limit=1", "a model's file has no name; accepted: benign, gate, licence, model"),
    ],
)
def test_a_layer_that_is_none_is_refused(tmp_path: Path, model: str, change: str, wanted: str) -> None:
    layers(tmp_path)
    (tmp_path / "other.yaml").write_text("model: {path: x}\nname: y\n", encoding="utf-8")
    named = str(tmp_path / model) if model.endswith(".yaml") else model
    with pytest.raises(ConfigError, match=wanted):
        read_recipe(tmp_path / "recipe.yaml", named, [change])


def test_a_recipe_for_any_model_asks_for_one(tmp_path: Path) -> None:
    layers(tmp_path)
    with pytest.raises(ConfigError, match="is for any model; name one with --model: one of tiny, or a file"):
        requested_recipe(RunRequest(recipe=tmp_path / "recipe.yaml"))


def test_records_say_how_and_not_where(tmp_path: Path) -> None:
    layers(tmp_path)
    changes = (f"model.path={tmp_path}/copy", "trace.limit=5")
    request = RunRequest(recipe=tmp_path / "recipe.yaml", model=f"{tmp_path}/models/tiny.yaml", changes=changes)
    said = "scalpel recipe run recipe.yaml --model tiny --set model.path=copy --set trace.limit=5"
    recipe = requested_recipe(request)
    assert (request.command, request.folder_name(recipe)) == (said, "toxicity.tiny")
    assert replace(request, rehearse=True).folder_name(recipe) == "toxicity.tiny.rehearsal"


def test_a_rehearsal_takes_the_least_sizes(tmp_path: Path) -> None:
    layers(tmp_path)
    request = RunRequest(recipe=tmp_path / "recipe.yaml", model="tiny", changes=("pairs.count=5",), rehearse=True)
    small = requested_recipe(request)
    assert (small.pairs.count, small.trace.limit, small.train.steps) == (5, 2, 2)
    assert small.pairs.source == "demo"
    assert small.gate is None
    # Sizes that no file could ask for are not made here either.
    assert Recipe.model_validate(small.model_dump()) == small
