"""Recipes as YAML: what is left out has a default, what is unknown is refused with its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import ConfigError
from server.recipes.file import Recipe, read_recipe

LEAST = "format: 1\nname: toxicity\nbehaviour: toxicity\nlicence: Apache-2.0\n"
ROOT = Path(__file__).resolve().parents[3]


def read(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def test_four_keys_are_a_recipe_for_the_demo_model(tmp_path: Path) -> None:
    recipe = read(tmp_path, LEAST)
    assert (recipe.model, recipe.scorer, recipe.pairs.source, recipe.pairs.count) == ("demo", "demo", "demo", 800)
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
        ("model: elsewhere", "benign: wanted a file of benign samples"),
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


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_of_this_repository_are_recipes(path: Path) -> None:
    assert path.stem.endswith(read_recipe(path).name.replace("_", "-"))
