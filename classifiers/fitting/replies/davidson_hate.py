"""Davidson et al. 2017: 24,783 tweets, class 0 hate, 1 offensive, 2 neither.

All of them, unlike the reader of prompts: a toxic reply need address no one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_table
from classifiers.fitting.replies.record import ReplyRow

_CLASSES = {"0": "hate", "1": "offensive", "2": "neither"}
_FURNITURE = re.compile(r"\bRT\b|@\w+:?|https?://\S+|&#?\w+;|^[!\"\s:]+")


def read(root: Path) -> Iterator[ReplyRow]:
    """Tweets without handles, links and entities. Raises `SourceFormatError` on another class."""
    for row in read_table(root / "davidson-hate" / "labeled_data.csv", ("class", "tweet")):
        if row["class"] not in _CLASSES:
            raise SourceFormatError(f"labeled_data.csv has class {row['class']!r}; wanted one of {list(_CLASSES)}")
        found = _CLASSES[row["class"]]
        text = " ".join(_FURNITURE.sub(" ", row["tweet"]).split())
        yield ReplyRow(reply=text, labels={"toxicity": found != "neither"}, source="davidson_hate", subgroup=found)
