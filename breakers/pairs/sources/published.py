"""Opening published files: rows with their place, and fields with a clear error where one is missing."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakers.errors import PairsError
from breakers.pairs.record import shown
from breakers.pairs.sources.base import SourceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a file or of a Hub data set."""

    where: str
    """File and row, for messages."""
    fields: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """The text in the first of these fields that the row has.

        Raises:
            PairsError: it has none, or it holds something else.
        """
        name = next((name for name in names if name in self.fields), None)
        if name is None:
            raise PairsError(f"{self.where}: has no {' or '.join(map(repr, names))}; found {sorted(self.fields)}")
        value = self.fields[name]
        if not isinstance(value, str):
            raise PairsError(f"{self.where}, {name}: found {shown(str(value))}; wanted a text")
        return value


def find_files(spec: SourceSpec, patterns: Sequence[str]) -> list[Path]:
    """The file that the path names, or those in the folder that match, in order of name.

    Raises:
        PairsError: there is no path, or nothing there.
    """
    if spec.path is None:
        raise PairsError("no data is named; wanted a path to the published files, or a Hub id")
    if spec.path.is_file():
        return [spec.path]
    found = sorted({path for pattern in patterns for path in spec.path.rglob(pattern) if path.is_file()})
    if not found:
        raise PairsError(f"{spec.path}: found no {' or '.join(patterns)}; wanted the set's published files")
    return found


def read_text(path: Path) -> str:
    """The text of a file, gunzipped where its name ends in .gz.

    Raises:
        PairsError: it cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise PairsError(f"{path}: cannot be read: {error}; wanted text in UTF-8") from error


def read_table(path: Path) -> Iterator[Row]:
    """The rows of a CSV file with a header line."""
    for number, row in enumerate(csv.DictReader(io.StringIO(read_text(path), newline="")), 1):
        yield Row(where=f"{path}, row {number}", fields=row)


def read_json_lines(path: Path) -> Iterator[Row]:
    """The objects of a JSON Lines file.

    Raises:
        PairsError: a line is not one.
    """
    # Only "\n" ends a line: texts may hold other line ends that `splitlines` would cut at.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield Row(where=where, fields=_object(line, where))


def read_json(path: Path) -> Any:
    """The one document of a JSON file.

    Raises:
        PairsError: it is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise PairsError(f"{path}: is not JSON: {error}; wanted one document") from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise PairsError(f"{where}: is not JSON: {error}; wanted an object") from error
    if not isinstance(value, dict):
        raise PairsError(f"{where}: found a {type(value).__name__}; wanted an object")
    return value
