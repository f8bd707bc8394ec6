"""A recipe's base model: where its files are, fetched from the Hub if they are not here, and how it is loaded."""

from __future__ import annotations

from pathlib import Path

from server.base_model import BaseOptions
from server.errors import ConfigError
from server.recipes.file import ModelSection

_WANTED = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt")
_LEFT = ("original/*", "consolidated*", "onnx/*", "metal/*")
"""The same weights again, in formats that are not read."""


def base_options(section: ModelSection) -> BaseOptions:
    """How the stages load it."""
    if section.is_demo:
        return BaseOptions(dtype=section.dtype, device="cpu" if section.device == "auto" else section.device)
    return BaseOptions(
        dtype=section.dtype, device=section.device, name=section.hub, template=tuple(section.template.items())
    )


def base_directory(section: ModelSection) -> Path | None:
    """Where the model's files are; None for the packaged demo model. Downloads what is not in the Hub's cache.

    Raises:
        ConfigError: the Hub cannot be reached, or does not have this.
    """
    if section.path is not None:
        return Path(section.path)
    return None if section.hub is None else _fetched(section.hub, str(section.revision))


def _fetched(repository: str, revision: str) -> Path:
    import httpx
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=list(_WANTED), ignore_patterns=list(_LEFT)
        )
    except (OSError, ValueError, httpx.HTTPError) as error:
        said = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ConfigError(
            f"{repository}@{revision[:12]} cannot be had from the Hub: {said}; wanted a model that this account may "
            "read, or model.path with a copy of it"
        ) from error
    return Path(folder)
