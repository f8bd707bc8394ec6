"""Every recipe for a public model, rehearsed on a tiny random model of its architecture, tokenizer included.

The recipes and the models' files are those that ship; only the places of the model and of the data are changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from families import FAMILIES, write_family
from public_data import write_public_data

from breakers.bundles import Bundle, load_bundle
from breakers.errors import RehearsalError
from breakers.pairs.files import load_pairs
from classifiers.scorers import build_scorer
from server.cli import main
from server.composition import load_bundles
from server.engines.embedded import EmbeddedEngineConfig, load_embedded_engine
from server.errors import ConfigError
from server.recipes.checks import check_names
from server.recipes.file import read_recipe

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ("toxicity", "gender-bias", "misinformation", "harmful-request")
STAGES = ("pairs", "benign", "trace", "refine", "train", "gate", "bundle")


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return write_public_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: write_family(name, root / name) for name in FAMILIES}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def recipe_command(recipe: str, model: str, directory: Path, sets: list[str], work: Path, *more: str) -> list[str]:
    words = ["recipe", "run", str(ROOT / "recipes" / f"{recipe}.yaml"), "--model", model, "--work", str(work)]
    return [*words, *(word for change in (f"model.path={directory}", *sets) for word in ("--set", change)), *more]


def rehearsed(
    recipe: str, model: str, directory: Path, sets: list[str], work: Path, dtype: str = "float32"
) -> Bundle:
    assert run(*recipe_command(recipe, model, directory, sets, work, "--rehearse")) == 0
    name = read_recipe(ROOT / "recipes" / f"{recipe}.yaml").name
    place = work / "bundle" / name
    base = ["--model", str(directory), "--dtype", dtype]
    assert run("bundle", "verify", str(place), "--chain", str(work), *base) == 0
    return load_bundle(place)


def check_served(bundle: Bundle, directory: Path) -> None:
    """The engine takes it for this model; the server refuses it, because it is a rehearsal's."""
    engine = load_embedded_engine(EmbeddedEngineConfig(model=directory, bundles=(bundle.bank_entry(),), slots=2))
    assert engine.info.bundles == (bundle.name,)
    with pytest.raises(RehearsalError, match="is a rehearsal's and not fit for use"):
        load_bundles([bundle.source])


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_names_is_there(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "truthfulqa").mkdir()
    head = "Question,Correct Answers,Incorrect Answers\n"
    (tmp_path / "truthfulqa" / "TruthfulQA.csv").write_text(f"{head}Do clowns sleep?,They do,They never do\n")
    monkeypatch.setenv("SCALPEL_DATA", str(tmp_path))
    asked = read_recipe(ROOT / "recipes" / f"{recipe}.yaml", "qwen3-0.6b")
    check_names(asked)
    # What it names is what it needs: the same recipe of a behaviour that its scorer does not judge is refused.
    assert asked.behaviour in build_scorer(asked.scorer).behaviours
    with pytest.raises(ConfigError, match=f"scorer refusal does not judge '{asked.behaviour}'"):
        check_names(asked.model_copy(update={"scorer": "refusal"}))


@pytest.mark.parametrize(("recipe", "model"), [("misinformation", "qwen3-0.6b")])
def test_a_recipe_is_rehearsed(
    recipe: str, model: str, models: dict[str, Path], changes: dict[str, list[str]], tmp_path: Path
) -> None:
    bundle = rehearsed(recipe, model, models[model], [*changes[recipe], "model.system=Be brief."], tmp_path)
    check_served(bundle, models[model])
    for record in load_pairs(tmp_path / "pairs" / "pairs.jsonl"):
        assert [message.role for message in record.messages] == ["system", "user"]
    manifest = bundle.manifest
    assert manifest.base.id == "Qwen/Qwen3-0.6B"
    assert manifest.rehearsal
    assert "--model qwen3-0.6b" in manifest.command
    assert str(tmp_path) not in manifest.command
    assert manifest.gate is not None
    assert manifest.gate.gate().strength(1.0) == 0
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == sorted(STAGES)


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(FAMILIES))
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_rehearsed_on_every_model(
    recipe: str, model: str, models: dict[str, Path], changes: dict[str, list[str]], tmp_path: Path
) -> None:
    bundle = rehearsed(recipe, model, models[model], changes[recipe], tmp_path)
    check_served(bundle, models[model])
    asked = read_recipe(ROOT / "recipes" / f"{recipe}.yaml", model)
    assert asked.model is not None
    assert (bundle.manifest.base.id, bundle.manifest.licence) == (asked.model.hub, asked.licence)
    assert (bundle.manifest.gate is None) == (recipe == "harmful-request")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gemma-3-4b-it", "mistral-7b-instruct"])
def test_a_recipe_is_rehearsed_in_half_precision(
    model: str, models: dict[str, Path], changes: dict[str, list[str]], tmp_path: Path
) -> None:
    sets = [*changes["toxicity"], "model.dtype=bfloat16"]
    bundle = rehearsed("toxicity", model, models[model], sets, tmp_path, "bfloat16")
    check_served(bundle, models[model])
    # So that whoever runs the bundle's command again makes it in the same precision.
    assert "model.dtype=bfloat16" in bundle.manifest.command


def test_there_is_a_stand_in_for_every_model() -> None:
    assert sorted(path.stem for path in (ROOT / "recipes" / "models").glob("*.yaml")) == sorted(FAMILIES)


def test_without_a_rehearsal_a_model_without_the_behaviour_is_refused(
    models: dict[str, Path],
    changes: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Judged by exact rules, which find no harm in random words; n-grams take some of them for insults.
    sets = [*changes["toxicity"], "pairs.count=2", "pairs.samples=4", "pairs.max_new_tokens=4", "benign.count=4"]
    sets += ["pairs.keep_unfinished=true", "scorer=demo"]
    command = recipe_command("toxicity", "qwen3-0.6b", models["qwen3-0.6b"], sets, tmp_path, "--until", "pairs")
    assert run(*command) == 2
    assert "gave both kinds of reply" in capsys.readouterr().err
