"""From a policy file to a policy."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from server.errors import ConfigError
from server.policy.policy import Policy
from server.policy.settings import PolicySettings
from server.yaml_file import describe_problems, read_mapping


def load_policy(path: Path) -> Policy:
    """The policy in a file. Whether it fits the loaded bundles is the planner's to say.

    Raises:
        ConfigError: naming the file, the key, and what was wanted.
    """
    document = read_mapping(path)
    if "version" not in document:
        raise ConfigError(f"{path}: version is missing; wanted `version: 1`")
    try:
        settings = PolicySettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_problems(error, PolicySettings)}") from error
    return Policy(settings=settings, source=str(path))
