"""TruthfulQA's answers as replies: the correct ones and the incorrect ones of each question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies.record import ReplyRow, user_turn
from classifiers.scorers.misinformation.references import load_references


def read(root: Path) -> Iterator[ReplyRow]:
    """Every answer. Raises `SourceFormatError` where the file is not in its published format."""
    for reference in load_references(str(root / "truthfulqa" / "TruthfulQA.csv")).all:
        for answers, wrong in ((reference.correct, False), (reference.incorrect, True)):
            for answer in answers:
                yield ReplyRow(
                    reply=answer,
                    labels={"misinformation": wrong},
                    source="truthfulqa",
                    messages=user_turn(reference.question),
                    group=reference.question,
                )
