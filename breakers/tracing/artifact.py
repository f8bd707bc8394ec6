"""A trace on disk: a directory of `circuit.json`, `effects.safetensors` and figures of them.

`circuit.json` names the hash of the effects, so a directory that mixes two traces is refused.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from breakers.bundles.verify import sha256
from breakers.errors import TracingError
from breakers.tracing.circuit_file import CIRCUIT_NAME, CircuitFile, circuit_bytes, parse_circuit, read_circuit
from breakers.tracing.effects_file import EFFECTS_NAME, EffectsTable, effects_bytes, index_of, read_effects

UNWRITTEN = "sha256:" + "0" * 64
"""Stands for a hash that is not known before the file is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceArtifact:
    """A circuit with the effects behind it."""

    circuit: CircuitFile
    effects: EffectsTable


Draw = Callable[[CircuitFile, EffectsTable], Mapping[str, bytes]]
"""Makes figures of a trace: file name -> bytes."""


def save_trace(artifact: TraceArtifact, path: Path, draw: Draw | None = None) -> TraceArtifact:
    """Write a trace, and return it as it was written, with the hash of its effects.

    Every file is written beside its place first, and moved there when all are: a full disk leaves what was there.

    Args:
        artifact: `effects_sha256` of its circuit is replaced.
        path: the directory, made if needed.
        draw: makes the figures (see `breakers.tracing.figures`); None for none.

    Raises:
        TracingError: the circuit is not one that can be read back, or the files cannot be written.
    """
    data = effects_bytes(artifact.effects)
    circuit = artifact.circuit.model_copy(update={"effects_sha256": sha256(data)})
    text = circuit_bytes(circuit)
    written = TraceArtifact(circuit=parse_circuit(text, str(path / CIRCUIT_NAME)), effects=artifact.effects)
    _check_consistent(written, path)
    figures = {} if draw is None else draw(written.circuit, written.effects)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_together(path, {**figures, EFFECTS_NAME: data, CIRCUIT_NAME: text})
    except OSError as error:
        raise TracingError(f"{path}: cannot be written: {error.strerror}; wanted a directory with room") from error
    return written


def load_trace(path: Path) -> TraceArtifact:
    """Read a trace, and verify that its files belong together.

    Raises:
        TracingError: a file is missing, is not what the format asks for, or belongs to another trace.
    """
    circuit = read_circuit(path / CIRCUIT_NAME)
    effects, data = read_effects(path / EFFECTS_NAME)
    if sha256(data) != circuit.effects_sha256:
        found = f"{EFFECTS_NAME} is {sha256(data)[:19]}..., {CIRCUIT_NAME} names {circuit.effects_sha256[:19]}..."
        raise TracingError(f"{path}: {found}; wanted files of one trace")
    artifact = TraceArtifact(circuit=circuit, effects=effects)
    _check_consistent(artifact, path)
    return artifact


def write_together(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a directory so that either none of them changes or, once all are on the disk, each does.

    Raises:
        OSError: one of them cannot be written.
    """
    with ExitStack() as leftovers:
        ready: list[tuple[Path, Path]] = []
        for name, data in files.items():
            handle, temporary = tempfile.mkstemp(dir=path, prefix=f".{name}.")
            leftovers.callback(Path(temporary).unlink, missing_ok=True)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            ready.append((Path(temporary), path / name))
        for temporary_path, final in ready:
            temporary_path.replace(final)


def _check_consistent(artifact: TraceArtifact, path: Path) -> None:
    for component in artifact.circuit.components:
        site = component.site.site()
        grid = artifact.effects.grid(site.component)
        layer, index = index_of(site)
        if layer >= grid.mean.shape[0] or index >= grid.mean.shape[1] or not bool(grid.measured[layer, index]):
            raise TracingError(f"{path}: {site} is in {CIRCUIT_NAME} but has no effect in {EFFECTS_NAME}")
        found = (float(grid.mean[layer, index]), bool(grid.exact[layer, index]))
        if found != (component.effect, component.exact):
            raise TracingError(
                f"{path}: {site} has effect {component.effect} in {CIRCUIT_NAME} and {found[0]} in {EFFECTS_NAME}"
            )
