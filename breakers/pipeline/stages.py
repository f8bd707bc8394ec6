"""What a stage is: a name, a configuration, the files it reads, and a function that writes a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Report: TypeAlias = Callable[[str, int, int], None]
"""(what is being done, steps done, steps in all; 0 where nobody knows)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """What a stage gets for one run."""

    out: Path
    """An existing folder of its own. After an interruption it still holds what was written there, so that a stage
    which keeps checkpoints goes on from them; files left over at the end become part of the artifact."""
    inputs: Mapping[str, Path]
    """By the names that the stage declared."""
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step from artifacts to an artifact."""

    name: str
    """Lower case, as `stage.json` and the folder are called."""
    config: dict[str, Any]
    """JSON-able; with the inputs it decides the result, so everything that does has to be in it."""
    make: Callable[[StageRun], None]
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Name -> `STAGE/FILE`, of an earlier stage."""
