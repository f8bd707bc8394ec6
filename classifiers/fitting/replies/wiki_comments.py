"""Wikipedia talk-page comments with a label of toxicity, from the repository of Dixon et al. 2018."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_table
from classifiers.fitting.replies.record import ReplyRow

_FILE = Path("unintended-bias/archive/unintended_ml_bias/eval_datasets/toxicity_nonfuzzed_testset.csv")
_LABELS = {"True": True, "False": False}


def read(root: Path) -> Iterator[ReplyRow]:
    """The comments. Raises `SourceFormatError` on another label."""
    for row in read_table(root / _FILE, ("comment", "toxic")):
        if row["toxic"] not in _LABELS:
            raise SourceFormatError(f"{_FILE.name} has label {row['toxic']!r}; wanted one of {list(_LABELS)}")
        text = " ".join(row["comment"].split())
        yield ReplyRow(reply=text, labels={"toxicity": _LABELS[row["toxic"]]}, source="wiki_comments")
