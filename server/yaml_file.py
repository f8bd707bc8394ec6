"""YAML files of ours: read strictly, and their problems as sentences that name file, key, and what was wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from server.errors import ConfigError


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file; an empty file has none.

    Raises:
        ConfigError: it cannot be read, is not YAML, holds something else, or a key twice.
    """
    try:
        # The loader is a safe one.
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds a {type(document).__name__}; wanted keys and values")
    return {str(key): value for key, value in document.items()}


def describe_problems(error: ValidationError, root: type[BaseModel]) -> str:
    """All problems of a validation, one line.

    Args:
        error: what pydantic found.
        root: the model that the whole document was validated as.
    """
    return "; ".join(_sentence(detail, root) for detail in error.errors(include_url=False))


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: the first one would be dropped in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands here twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _sentence(detail: ErrorDetails, root: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        section = _section(detail["loc"][:-1], root)
        accepted = "" if section is None else f"; accepted: {', '.join(sorted(section.model_fields))}"
        return f"{where}: unknown key{accepted}"
    if not where:
        return detail["msg"].removeprefix("Value error, ")
    return f"{where}: {detail['msg']} (found {detail['input']!r})"


def _section(path: tuple[int | str, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    """The model that a path leads to; keys of plain mappings lead on to what their values are."""
    section: type[BaseModel] | None = root
    for part in path:
        if section is None or not isinstance(part, str) or part not in section.model_fields:
            continue
        section = _nested(section.model_fields[part].annotation)
    return section


def _nested(annotation: object) -> type[BaseModel] | None:
    """The one model inside an annotation such as `dict[str, X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _nested(inner)
        if found is not None:
            return found
    return None
