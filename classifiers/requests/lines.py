"""Labelled requests of a JSON Lines file: how a classifier is measured on sets that are not here.

A line has `text` and `harmful`, and may have `category` (one of the label space: what a harmful request is about) and
`hard` (a benign request in dangerous words). Other keys are passed over, as published sets have many.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from classifiers.errors import SourceFormatError
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow


def read_lines(path: Path) -> list[RequestRow]:
    """Every line as a row that measures only; each is a source prompt of its own.

    Raises:
        SourceFormatError: the file cannot be read, or a line lacks what it needs.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceFormatError(f"{path} cannot be read: {error}") from error
    rows = [_row(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise SourceFormatError(f"{path} has no lines; wanted JSON objects with `text` and `harmful`")
    return rows


def _row(line: str, number: int, path: Path) -> RequestRow:
    where = f"{path.name}, line {number}"
    try:
        item: Any = json.loads(line)
    except ValueError as error:
        raise SourceFormatError(f"{where} is not JSON: {error}") from error
    if (
        not isinstance(item, dict)
        or not isinstance(item.get("text"), str)
        or not isinstance(item.get("harmful"), bool)
    ):
        raise SourceFormatError(f"{where} has no `text` (a string) with `harmful` (true or false)")
    category, hard = item.get("category"), item.get("hard", False)
    if category is not None and category not in REQUEST_CATEGORIES:
        raise SourceFormatError(f"{where} has category {category!r}; wanted one of {', '.join(REQUEST_CATEGORIES)}")
    if not isinstance(hard, bool):
        raise SourceFormatError(f"{where} has hard {hard!r}; wanted true or false")
    return RequestRow(
        text=item["text"],
        harmful=item["harmful"],
        labels=_labels(item["harmful"], category),
        source=path.stem,
        family=path.stem,
        group=f"{path.stem} {number}",
        licence="not stated",
        trains=False,
        hard=hard,
    )


def _labels(harmful: bool, category: str | None) -> dict[str, bool]:
    """A harmless request shows no category, whichever it seems to; a harmful one its own, the others unknown."""
    if not harmful:
        return dict.fromkeys(REQUEST_CATEGORIES, False)
    return {} if category is None else {category: True}
