"""BIG-Bench Hard (`bbh/*.json`): puzzles of 27 tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import found
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import read_json
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The puzzles, by task. Raises `SourceFormatError` where a file has no examples with an input."""
    for path in found(root / "bbh" / "bbh", "*.json"):
        task = read_json(path)
        examples = task.get("examples") if isinstance(task, dict) else None
        if not isinstance(examples, list) or not all(isinstance(e, dict) and "input" in e for e in examples):
            raise SourceFormatError(f"{path.name} has no list 'examples' of objects with an input")
        for example in examples:
            yield known.harmless(example["input"], group=path.stem)
