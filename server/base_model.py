"""The base model, loaded before the engine: bundles are verified against it first, and made on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from server.errors import ConfigError

if TYPE_CHECKING:
    from breakers.architectures import ModelSites
    from server.engines.embedded import LoadedModel
    from server.engines.embedded.tokenizer import HuggingFaceTokenizer

TemplateValue = bool | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseOptions:
    """How a stage that makes bundles loads its model."""

    dtype: str = "float32"
    device: str = "cpu"
    name: str | None = None
    """What bundles call the model; None for its directory's name."""
    template: tuple[tuple[str, TemplateValue], ...] = ()
    """Variables of the chat template, which would otherwise be undefined in it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseOutline:
    """What can be known of a model without its weights."""

    sites: ModelSites
    """On modules that hold no values."""
    tokenizer: HuggingFaceTokenizer


def outline_base(directory: str, dtype: str = "float32") -> BaseOutline:
    """A model's sites and tokenizer, for a process that does not run it.

    Raises:
        ConfigError: there is no such model directory, or it cannot be read.
        UnsupportedModelError: its architecture has no site table.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from breakers.architectures import resolve_sites
    from server.engines.embedded import EmbeddedLoadError
    from server.engines.embedded.loading import load_tokenizer, require_model_directory
    from server.engines.embedded.tokenizer import HuggingFaceTokenizer

    path = Path(directory)
    try:
        require_model_directory(path)
        tokenizer = HuggingFaceTokenizer(load_tokenizer(path))
    except EmbeddedLoadError as error:
        raise ConfigError(str(error)) from error
    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(path, local_files_only=True)
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} cannot be loaded: {error}") from error
    return BaseOutline(sites=resolve_sites(model), tokenizer=tokenizer)


def load_prepared(directory: Path | None, options: BaseOptions) -> LoadedModel:
    """The model as the stages of a bundle's making take it: in its type, on its device, with its chat template bound.

    Args:
        directory: None for the packaged demo model.
        options: see there.

    Raises:
        ConfigError: a choice that does not exist, a model that cannot be read, or no template to set variables in.
    """
    import torch

    from breakers.demo import model_path
    from breakers.demo.make_bundles import MODEL_ID
    from server.engines.embedded.config import DEVICES, DTYPES, resolve_device

    for what, found, known in (("device", options.device, DEVICES), ("dtype", options.dtype, DTYPES)):
        if found not in known:
            raise ConfigError(f"{what} is {found!r}; wanted one of {', '.join(known)}")
    loaded = load_base(str(directory or model_path()), options.dtype)
    loaded.model.to(device=torch.device(resolve_device(options.device, cuda_available=torch.cuda.is_available())))
    _bind(loaded, options)
    return replace(loaded, model_id=options.name or (loaded.model_id if directory else MODEL_ID))


def _bind(loaded: LoadedModel, options: BaseOptions) -> None:
    """Set variables at the top of the template, where everything that renders it finds them."""
    template = loaded.tokenizer.chat_template
    if not options.template:
        return
    if not isinstance(template, str):
        raise ConfigError(
            f"{loaded.model_id} has no single chat template; wanted one, to set "
            f"{', '.join(name for name, _ in options.template)} in it"
        )
    lines = (f"{{%- set {name} = {_literal(value)} -%}}" for name, value in options.template)
    loaded.tokenizer.chat_template = "".join(lines) + template


def _literal(value: TemplateValue) -> str:
    # JSON's texts, numbers and truth values are Jinja's too.
    return json.dumps(value)
