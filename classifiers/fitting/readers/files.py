"""Opening the published files: one place that turns missing files, fields and bad bytes into clear errors."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifiers.errors import SourceFormatError


def read_text(path: Path) -> str:
    """The text of a file, gunzipped where its name ends in .gz.

    Raises:
        SourceFormatError: it is missing or not UTF-8.
    """
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceFormatError(f"{path.name} cannot be read: {error}") from error


def read_table(path: Path, columns: tuple[str, ...], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a table with a header line.

    Raises:
        SourceFormatError: a column is missing.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    missing = [column for column in columns if column not in (rows.fieldnames or ())]
    if missing:
        raise SourceFormatError(f"{path.name} has no column {missing[0]!r}; found {list(rows.fieldnames or ())}")
    for row in rows:
        yield {column: row[column] or "" for column in columns}


def read_json_lines(path: Path, field: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file, each with a text in `field`.

    Raises:
        SourceFormatError: a line is not such an object.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceFormatError(f"{path.name}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get(field), str):
            raise SourceFormatError(f"{path.name}, line {number} has no text in {field!r}")
        yield row


def found(folder: Path, pattern: str) -> list[Path]:
    """The files in `folder` that match, in order of name.

    Raises:
        SourceFormatError: there are none.
    """
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise SourceFormatError(f"no {pattern} in folder {folder.name!r}")
    return paths
