"""Runs stages in order into one folder, skipping those that are finished and unchanged.

A stage writes into `.STAGE.partial`. When it is done its record is written there and the folder is renamed, so a
folder called `STAGE` is always whole. An interrupted stage finds its partial folder again as long as its
configuration and inputs are the same; otherwise it starts from nothing.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from breakers.bundles.store import write_atomically
from breakers.errors import StageError
from breakers.pipeline.hashing import digest_of_file, digests_of_files
from breakers.pipeline.record import (
    RECORD_NAME,
    StageRecord,
    changed_files,
    read_record,
    stage_key,
    write_record,
)
from breakers.pipeline.stages import Report, Stage, StageRun

_KEY_NAME = ".key"
_LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutcome:
    """What became of a stage."""

    stage: str
    folder: Path
    record: StageRecord
    ran: bool
    """False where a finished artifact was there already."""


def run_stages(
    stages: Sequence[Stage],
    work: Path,
    command: str,
    report: Callable[[str], Report],
    until: str | None = None,
) -> list[StageOutcome]:
    """Make every artifact that is missing or was made from something else.

    Args:
        stages: each reads files of earlier ones only.
        work: folder of the artifacts, made if needed; used by one run at a time.
        command: for the records.
        report: stage name -> what hears of its progress.
        until: the last stage to run; all by default.

    Returns:
        One outcome a stage, in order.

    Raises:
        StageError: the stages do not fit together, another run uses `work`, or a file cannot be written; artifacts
            of finished stages are whole in every case, and the next run goes on from them.
        BreakersError: as the stages.
    """
    _check(stages, until)
    done: list[StageOutcome] = []
    with _locked(work):
        for stage in stages:
            done.append(_brought_up_to_date(stage, work, command, report(stage.name)))
            if stage.name == until:
                break
    return done


def _check(stages: Sequence[Stage], until: str | None) -> None:
    known: list[str] = []
    for stage in stages:
        if stage.name in known:
            raise StageError(f"two stages are called {stage.name}; wanted a name for each")
        for source in stage.inputs.values():
            if source.partition("/")[0] not in known:
                raise StageError(f"stage {stage.name} reads {source}; wanted a file of {', '.join(known) or 'none'}")
        known.append(stage.name)
    if until is not None and until not in known:
        raise StageError(f"no stage is called {until}; there are {', '.join(known)}")


def _brought_up_to_date(stage: Stage, work: Path, command: str, report: Report) -> StageOutcome:
    paths = {name: work / source for name, source in stage.inputs.items()}
    inputs = {source: _input_digest(stage, work, source) for source in stage.inputs.values()}
    key, folder = stage_key(stage.name, stage.config, inputs), work / stage.name
    if (found := _finished(folder)) is not None and found.key == key:
        return StageOutcome(stage=stage.name, folder=folder, record=found, ran=False)
    partial = work / f".{stage.name}.partial"
    try:
        # Whole, but interrupted before it got its name.
        record = _finished(partial)
        if record is None or record.key != key:
            record = _made(stage, partial, inputs, paths, command, report)
        _put(partial, folder)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StageError(
            f"stage {stage.name} stopped: {reason} ({error.filename or work}); finished stages are whole, "
            "and running it again goes on from them"
        ) from error
    return StageOutcome(stage=stage.name, folder=folder, record=record, ran=True)


def _made(
    stage: Stage, partial: Path, inputs: dict[str, str], paths: Mapping[str, Path], command: str, report: Report
) -> StageRecord:
    _prepare(partial, stage_key(stage.name, stage.config, inputs))
    stage.make(StageRun(out=partial, inputs=paths, report=report))
    (partial / _KEY_NAME).unlink()
    outputs = dict(digests_of_files(partial))
    record = StageRecord(stage=stage.name, config=stage.config, inputs=inputs, outputs=outputs, command=command)
    write_record(record, partial)
    return record


def _input_digest(stage: Stage, work: Path, source: str) -> str:
    try:
        return digest_of_file(work / source)
    except OSError as error:
        raise StageError(
            f"stage {stage.name} reads {work / source}, which cannot be read: {error.strerror}"
        ) from error


def _finished(folder: Path) -> StageRecord | None:
    """The record of a stage that is as it was left; None where there is none, or where files were changed since."""
    if not (folder / RECORD_NAME).is_file():
        return None
    record = read_record(folder)
    return None if changed_files(record, folder) else record


def _prepare(partial: Path, key: str) -> None:
    marker = partial / _KEY_NAME
    if marker.is_file() and marker.read_text(encoding="utf-8") == key:
        return
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    write_atomically(marker, key.encode())


def _put(partial: Path, folder: Path) -> None:
    """Give the folder its name; whatever had it goes away only once the new one is whole."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    if old.exists():
        shutil.rmtree(old)


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / _LOCK_NAME).open("w", encoding="utf-8")
    except OSError as error:
        raise StageError(f"{work}: cannot be used: {error.strerror}; wanted a folder to write to") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StageError(f"{work}: another run uses it; wait for it, or give another folder") from error
        yield
