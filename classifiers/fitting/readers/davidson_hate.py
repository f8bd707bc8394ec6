"""Davidson et al. 2017: 24,783 tweets, class 0 hate, 1 offensive, 2 neither (`labeled_data.csv`).

Offence that addresses someone counts as provoking; offensive tweets that address no one say little about the reply
and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_table

_NEITHER = "2"
_SECOND_PERSON = re.compile(r"\b(you|your|youre|u|ur|ya|yourself)\b", re.IGNORECASE)
_TWEET_FURNITURE = re.compile(r"(\bRT\b|@\w+:?|https?://\S+|&#?\w+;|^[!\"\s:]+)")


def read(root: Path) -> Iterator[LabelledPrompt]:
    """Tweets without handles, links and entities."""
    for row in read_table(root / "davidson-hate" / "labeled_data.csv", ("class", "tweet")):
        text = " ".join(_TWEET_FURNITURE.sub(" ", row["tweet"]).split())
        toxic = row["class"] != _NEITHER
        if toxic and not _SECOND_PERSON.search(text):
            continue
        yield LabelledPrompt(text=text, labels={"toxicity": toxic}, source="davidson_hate")
