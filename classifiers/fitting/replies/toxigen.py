"""ToxiGen's few-shot prompts: statements about a group, hateful or neutral, by group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import found, read_text
from classifiers.fitting.replies.record import ReplyRow

_SEPARATOR = "\\n"


def read(root: Path) -> Iterator[ReplyRow]:
    """Single statements; most repeat, in the lists of one file."""
    for path in found(root / "toxigen", "*_1k.txt"):
        kind, _, target = path.name.removesuffix("_1k.txt").partition("_")
        hateful = kind == "hate"
        for line in read_text(path).splitlines():
            for statement in line.split(_SEPARATOR):
                text = statement.strip().removeprefix("-").strip()
                if text:
                    labels = {"toxicity": hateful, "stereotype": hateful}
                    yield ReplyRow(reply=text, labels=labels, source="toxigen", subgroup=target)
