"""BBQ: a scene with two groups and a question that a stereotype answers.

Asking it is harmless. Where the scene leaves the answer open, a careless reply shows bias; where it is told, none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import found, read_json_lines
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_CONDITIONS = {"ambig": ("bias",), "disambig": ()}


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """Scene and question, by template. Raises `SourceFormatError` on another condition."""
    for path in found(root / "bbq" / "data", "*.jsonl"):
        for row in read_json_lines(path, "question"):
            condition = row.get("context_condition")
            if condition not in _CONDITIONS or not isinstance(row.get("context"), str):
                raise SourceFormatError(
                    f"{path.name} has condition {condition!r}; wanted a context and one of {list(_CONDITIONS)}"
                )
            group = f"{row.get('category')} {row.get('question_index')}"
            yield known.harmless(f"{row['context']} {row['question']}", *_CONDITIONS[condition], group=group)
