"""From a started child to an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from breakers.bank import BankEntry
from server.engines.apart.bundles import wire_entry
from server.engines.apart.messages import Build, Built, Bundle, Load, Loaded
from server.engines.apart.process import EngineProcess
from server.engines.apart.proxy import ApartEngine
from server.engines.base import ChatTokenizer
from server.engines.embedded import EmbeddedEngineConfig

_SENT_APART = ("model", "bundles")


def begin_loading(process: EngineProcess, directory: Path, *, dtype: str) -> None:
    """Have the child read a model, and do not wait for it.

    Raises:
        EngineProcessError: the child has ended.
    """
    process.tell(Load(directory=str(directory.absolute()), dtype=dtype))


def loaded_fingerprint(process: EngineProcess) -> str:
    """Wait until the model is read; its fingerprint.

    Raises:
        EngineProcessError: the child has ended.
        EmbeddedLoadError: the model cannot be read.
        UnsupportedModelError: it has no fingerprint.
    """
    return process.wait_for(Loaded).fingerprint


def build_engine(process: EngineProcess, config: EmbeddedEngineConfig, tokenizer: ChatTokenizer) -> ApartEngine:
    """Have the child make an engine of the model that it has read.

    Args:
        process: the child.
        config: how; its model is not looked at.
        tokenizer: the model's, for this process.

    Raises:
        EngineProcessError: the child has ended.
        EmbeddedLoadError, BreakersError: as `load_embedded_engine`.
    """
    _send_bundles(process, config.bundles)
    settings = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in _SENT_APART}
    process.tell(Build(settings=settings, bundles=len(config.bundles)))
    return ApartEngine(
        process,
        process.wait_for(Built).info,
        tokenizer,
        queue_size=config.queue_size,
        drain_seconds=config.drain_seconds,
    )


def _send_bundles(process: EngineProcess, entries: Sequence[BankEntry]) -> None:
    for entry in entries:
        process.tell(Bundle(entry=wire_entry(entry)))
