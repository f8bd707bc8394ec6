"""The base model, loaded before the engine: bundles are verified against it first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from server.errors import ConfigError

if TYPE_CHECKING:
    from server.engines.embedded import LoadedModel


def load_base(directory: str, dtype: str = "float32") -> LoadedModel:
    """The model and its tokenizer, from safetensors only.

    Raises:
        ConfigError: there is no such model directory, or it cannot be read.
    """
    from transformers.utils import logging as transformers_logging

    from server.engines.embedded import EmbeddedLoadError, load_model

    # Its bars would break the log's lines.
    transformers_logging.disable_progress_bar()
    try:
        return load_model(Path(directory), dtype=dtype)
    except EmbeddedLoadError as error:
        raise ConfigError(str(error)) from error
