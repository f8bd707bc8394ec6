"""Checkpoints of a training: one safetensors file, tensors and JSON, replaced as a whole.

The file under its name is always a complete one: an interruption or a full disk leaves the last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor

from breakers.bundles.store import write_atomically
from breakers.errors import StageError

_META = "scalpel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that a training goes on from."""

    made_from: str
    """Digest of the configuration, the data and the model: another training's checkpoint is refused."""
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]
    """JSON: step, history, state of the random source, batches left."""


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write, or replace what is there.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    described = json.dumps({"made_from": checkpoint.made_from, "state": checkpoint.state})
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save_safetensors(tensors, metadata={_META: described}))


def load_checkpoint(path: Path, made_from: str) -> Checkpoint | None:
    """The checkpoint at `path`; None if there is no file.

    Raises:
        StageError: it is no checkpoint, or one of another training.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            described = json.loads((file.metadata() or {})[_META])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        found, state = described["made_from"], described["state"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StageError(f"{path} is no checkpoint of a training ({error}); delete it to start anew") from error
    if found != made_from:
        raise StageError(
            f"{path} was made from {str(found)[:23]}..., another configuration, data or model than "
            f"{made_from[:23]}...; delete it, name another, or train as it was"
        )
    return Checkpoint(made_from=made_from, tensors=tensors, state=state)
