"""A recipe's layers: the recipe, a model's file over it, single keys over both. Mappings merge, all else is replaced.

Each layer's relative paths begin at its own folder, and those of single keys at the working directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from server.errors import ConfigError
from server.yaml_file import read_mapping

MODELS = "models"
"""Folder of models' files, beside the recipes."""
PATHS = (("model", "path"), ("pairs", "path"), ("benign", "path"), ("gate", "classifier_path"))
"""Keys that hold paths."""
_OF_MODELS = frozenset({"model", "licence", "pairs", "benign", "trace", "refine", "train", "gate"})
"""What a model's file may say: the model, what its licence asks of what is made from it, and sizes. What is made, and
how it is judged, is the recipe's."""


def layered(recipe: Path, model: str | None, changes: Sequence[str]) -> dict[str, Any]:
    """The keys and values of a recipe with its model and its changes.

    Raises:
        ConfigError: a file cannot be read, is not there, or is no model's file; a change is not `key=value`.
    """
    found = _placed(read_mapping(recipe), recipe.parent)
    if model is not None:
        path = model_file(recipe, model)
        sizes = _placed(_model_values(path), path.parent)
        # A section that the recipe leaves out stays out, however large a model would make it.
        left_out = {key for key, value in found.items() if value is None and key != "model"}
        found = merged(found, {key: value for key, value in sizes.items() if key not in left_out})
    for change in changes:
        found = merged(found, _placed(_change(change), Path()))
    return found


def model_file(recipe: Path, name: str) -> Path:
    """The file that `--model` names: a path to one, or its name in `models` beside the recipe.

    Raises:
        ConfigError: neither is there.
    """
    for path in (recipe.parent / MODELS / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    raise ConfigError(f"no model is called {name!r}, and no file; wanted {_known(recipe)}")


def model_wanted(recipe: Path) -> ConfigError:
    """What to say of a recipe that leaves its model open."""
    return ConfigError(f"{recipe}: is for any model; name one with --model: {_known(recipe)}")


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key; where both have a mapping it is merged in turn, else the second wins."""
    found = dict(under)
    for key, value in over.items():
        below = found.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        found[key] = merged(below, value) if both and below is not None else value
    return found


def shown_change(change: str) -> str:
    """A change as records may hold it: of a path, only the last part, because the rest says where and not how."""
    key, _, value = change.partition("=")
    if key == "scorer":
        member, colon, place = value.partition(":")
        return f"{key}={member}{colon}{Path(place).name}"
    return f"{key}={Path(value).name}" if tuple(key.split(".")) in PATHS else change


def _known(recipe: Path) -> str:
    names = sorted(path.stem for path in (recipe.parent / MODELS).glob("*.yaml"))
    return f"one of {', '.join(names)}, or a file" if names else "a file"


def _model_values(path: Path) -> dict[str, Any]:
    values = read_mapping(path)
    if not isinstance(values.get("model"), dict):
        raise ConfigError(f"{path}: has no section model; wanted a model's file")
    if others := sorted(values.keys() - _OF_MODELS):
        raise ConfigError(
            f"{path}: a model's file has no {', '.join(others)}; accepted: {', '.join(sorted(_OF_MODELS))}"
        )
    return values


def _change(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    keys = name.split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {text}: wanted section.key=value")
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not YAML: {error}") from error
    for key in reversed(keys):
        found = {key: found}
    return dict(found)


def _placed(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same with its paths under `folder`; those that begin with a variable wait until they are needed."""
    found = dict(values)
    for section, key in PATHS:
        inside = found.get(section)
        path = inside.get(key) if isinstance(inside, Mapping) else None
        if isinstance(inside, Mapping) and isinstance(path, str) and not path.startswith("$"):
            found[section] = {**inside, key: str(folder / path)}
    return found
