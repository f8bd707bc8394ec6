"""Configuration of members that are not fitted here: one YAML or JSON file, whose unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from classifiers.artifact import ConversationCard, StrictCard
from classifiers.errors import MemberConfigError

Config = TypeVar("Config", bound=StrictCard)

DEFAULT_CONVERSATION = ConversationCard(turn_decay=0.5, system_weight=0.5, context_limit=2.0, tool_weight=0.5)
"""Where a configuration does not say how much the parts of a conversation count."""


def config_file(path: Path | None, member: str) -> Path:
    """The file itself, or `MEMBER.yaml`, `.yml` or `.json` in a directory.

    Raises:
        MemberConfigError: there is none.
    """
    if path is None:
        raise MemberConfigError(f"member {member!r} needs a configuration; name its file or directory as the path")
    if path.is_file():
        return path
    for suffix in (".yaml", ".yml", ".json"):
        if (path / f"{member}{suffix}").is_file():
            return path / f"{member}{suffix}"
    raise MemberConfigError(f"{path} is neither a configuration nor a directory with {member}.yaml or {member}.json")


def read_config(file: Path, kind: type[Config]) -> Config:
    """The configuration in `file`.

    Raises:
        MemberConfigError: it cannot be read or is not in the format.
    """
    try:
        return kind.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MemberConfigError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        raise MemberConfigError(f"{file}: {error}") from error
