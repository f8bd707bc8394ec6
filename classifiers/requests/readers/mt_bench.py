"""MT-Bench's 80 questions of two turns (`mt_bench_question.jsonl`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_json_lines
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """Each turn, the second after the first. Raises `SourceFormatError` where there are none."""
    for row in read_json_lines(root / "mobileaibench" / "mt_bench_question.jsonl", "category"):
        turns = row.get("turns")
        if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
            raise SourceFormatError(f"mt_bench_question.jsonl has turns {turns!r}; wanted a list of texts")
        for number, turn in enumerate(turns):
            before = [{"role": "user", "content": text} for text in turns[:number]]
            yield known.harmless(turn, group=turns[0], before=before)
