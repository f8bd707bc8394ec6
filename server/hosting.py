"""Where the model is held and the engine runs: in this process, or in one of the engine's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from breakers.architectures import ModelSites, resolve_sites
from breakers.bank import BankEntry
from breakers.fingerprint import fingerprint_model
from server.base_model import load_base, outline_base
from server.config import EngineSection
from server.engines.base import Engine, EngineError
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.engines.embedded.errors import EmbeddedLoadError
from server.errors import ConfigError

if TYPE_CHECKING:
    from server.engines.apart.spawning import ChildProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedModel:
    """A model that was read, and what bundles have to fit."""

    fingerprint: str
    sites: ModelSites
    engine: Callable[[Sequence[BankEntry]], Engine]
    """Makes the engine, once, with bundles that were verified."""


Hosting: TypeAlias = Callable[[], HostedModel]
"""Waits for the model."""


def host_here(section: EngineSection, directory: str) -> Hosting:
    """The model in this process, read when it is waited for."""

    def wait() -> HostedModel:
        loaded = load_base(directory, section.dtype)

        def build(bundles: Sequence[BankEntry]) -> Engine:
            try:
                return load_embedded_engine(_settings(section, loaded, bundles))
            except EmbeddedLoadError as error:
                raise ConfigError(str(error)) from error

        return HostedModel(
            fingerprint=fingerprint_model(loaded.model), sites=resolve_sites(loaded.model), engine=build
        )

    return wait


def host_apart(section: EngineSection, directory: str, child: ChildProcess) -> Hosting:
    """The model in a process of its own, which begins to read it now.

    Raises:
        ConfigError: the process ended, or cannot read the model; here, when it is waited for, or when the engine is
            made.
    """
    from server.engines.apart.hosting import begin_loading, build_engine, loaded_fingerprint
    from server.engines.apart.process import EngineProcess

    process = EngineProcess(child)
    with _as_config_errors():
        begin_loading(process, Path(directory), dtype=section.dtype)

    def wait() -> HostedModel:
        outline = outline_base(directory, section.dtype)

        def build(bundles: Sequence[BankEntry]) -> Engine:
            with _as_config_errors():
                return build_engine(process, _settings(section, Path(directory), bundles), outline.tokenizer)

        with _as_config_errors():
            return HostedModel(fingerprint=loaded_fingerprint(process), sites=outline.sites, engine=build)

    return wait


def _settings(
    section: EngineSection, model: Path | LoadedModel, bundles: Sequence[BankEntry]
) -> EmbeddedEngineConfig:
    return EmbeddedEngineConfig(
        model=model,
        bundles=tuple(bundles),
        device=section.device,
        dtype=section.dtype,
        slots=section.slots,
        max_model_len=section.max_model_len,
        prefix_cache_tokens=section.prefix_cache_tokens,
        deterministic=section.deterministic,
        queue_size=section.queue_size,
        # The server drains before it stops the engine: what is still there then has had its grace.
        drain_seconds=0.0,
    )


@contextmanager
def _as_config_errors() -> Iterator[None]:
    from server.engines.apart.errors import EngineProcessError

    try:
        yield
    except (EmbeddedLoadError, EngineProcessError, EngineError) as error:
        raise ConfigError(str(error)) from error
