"""The work file of a sampling run: one line a batch, so that an interruption loses at most the batch it stopped.

The first line says what the outcomes follow from; a run with other settings refuses the file. A last line that was
cut off in the middle is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from breakers.errors import PairsError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What sampling one prompt gave."""

    harmful: str | None
    """The reply that was kept, None if no usable one was harmful."""
    neutral: str | None
    harmful_count: int
    """Usable harmful replies."""
    neutral_count: int
    unusable: int
    """Empty or unfinished ones."""


class WorkFile:
    """Outcomes by batch, kept on disk as they come."""

    def __init__(self, path: Path, made_with: Mapping[str, object]) -> None:
        """Open the file if there is one; otherwise it begins with the first batch that is put.

        Args:
            path: where it lies.
            made_with: what outcomes follow from: model, scorer, settings; JSON-able.

        Raises:
            PairsError: the file was made with something else, is damaged, or cannot be written.
        """
        self._path = path
        self._made_with = json.loads(json.dumps(dict(made_with)))
        self._done: dict[str, list[Outcome]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._read()
        except OSError as error:
            raise self._unwritable(error) from error

    def get(self, batch: str) -> list[Outcome] | None:
        """The outcomes of a batch that was done before."""
        return self._done.get(batch)

    def put(self, batch: str, outcomes: Sequence[Outcome]) -> None:
        """Keep a batch; when this returns it is on the disk.

        Raises:
            PairsError: it cannot be written.
        """
        self._done[batch] = list(outcomes)
        try:
            self._append({"batch": batch, "outcomes": [asdict(outcome) for outcome in outcomes]})
        except OSError as error:
            raise self._unwritable(error) from error

    def remove(self) -> None:
        """Delete the file: its pairs are written."""
        self._path.unlink(missing_ok=True)

    def _append(self, document: Mapping[str, object]) -> None:
        with self._path.open("ab") as file:
            if not file.tell():
                file.write(json.dumps({"format": FORMAT, "made_with": self._made_with}).encode() + b"\n")
            file.write(json.dumps(document).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> None:
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        lines = whole.splitlines()
        if not lines:
            return
        self._check_header(self._parse(lines[0], 1))
        for number, line in enumerate(lines[1:], 2):
            document = self._parse(line, number)
            try:
                self._done[document["batch"]] = [Outcome(**outcome) for outcome in document["outcomes"]]
            except (KeyError, TypeError) as error:
                raise self._damaged(number) from error

    def _check_header(self, header: dict[str, Any]) -> None:
        if header.get("format") != FORMAT or not isinstance(header.get("made_with"), dict):
            raise PairsError(f"{self._path}: is no work file of format {FORMAT}; wanted one, or a new place")
        found = header["made_with"]
        for name in {**found, **self._made_with}:
            if found.get(name) != self._made_with.get(name):
                values = f"{name} {found.get(name)!r}, not {self._made_with.get(name)!r}"
                raise PairsError(f"{self._path}: was begun with {values}; wanted the same, or a new place")

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            document = json.loads(line)
        except ValueError as error:
            raise self._damaged(number) from error
        if not isinstance(document, dict):
            raise self._damaged(number)
        return document

    def _damaged(self, number: int) -> PairsError:
        return PairsError(f"{self._path}, line {number}: is damaged; wanted an outcome as written, or a new place")

    def _unwritable(self, error: OSError) -> PairsError:
        return PairsError(f"{self._path}: cannot be used: {error.strerror}; wanted a writable place")
