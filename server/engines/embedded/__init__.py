"""The embedded engine: continuous batching with torch and transformers, in this process.

A request's way through the files: `engine` checks it, `mailbox` queues it, `loop` takes steps in a thread,
`scheduler` says who is in them, `stepper` runs them as packed forwards (`batch`, `executor`, `attention`, `cache`),
`sampler` chooses tokens (within a `grammar`, where a request has one), `sequence` turns them into text
(`detokenizer`, `stops`), `replies` brings it back. `banks` holds the loaded bundles by version, `swapping` changes
them while requests run.
`linear` makes the model's products fast on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.engines.embedded.config import EmbeddedEngineConfig, LoadedModel
from server.engines.embedded.errors import EmbeddedLoadError, EngineConfigError, SelfCheckError

if TYPE_CHECKING:
    from pathlib import Path

    from server.engines.embedded.engine import EmbeddedEngine

__all__ = [
    "EmbeddedEngineConfig",
    "EmbeddedLoadError",
    "EngineConfigError",
    "LoadedModel",
    "SelfCheckError",
    "load_embedded_engine",
    "load_model",
]


def load_embedded_engine(config: EmbeddedEngineConfig) -> EmbeddedEngine:
    """Build an engine, ready to `start`; see `loading.load_embedded_engine`. Imports torch."""
    from server.engines.embedded import loading

    return loading.load_embedded_engine(config)


def load_model(directory: Path, *, dtype: str = "float32") -> LoadedModel:
    """Read a model directory; see `loading.load_model`. Imports torch."""
    from server.engines.embedded import loading

    return loading.load_model(directory, dtype=dtype)
