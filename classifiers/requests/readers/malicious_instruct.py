"""MaliciousInstruct (`malicious_instruct.txt`): 100 questions with harmful intent, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_text
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions."""
    for line in read_text(root / "advbench" / "malicious_instruct.txt").splitlines():
        yield known.harmful(line)
