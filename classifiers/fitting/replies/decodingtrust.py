"""DecodingTrust's stereotype statements: 16 topics, 24 groups; all of them stereotypes. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.fitting.replies.record import ReplyRow

_COLUMNS = ("stereotype_topic", "target_group", "stereotype_template")


def read(root: Path) -> Iterator[ReplyRow]:
    """The statements, with the group put in."""
    path = root / "decodingtrust" / "stereotype" / "dataset" / "user_prompts.csv"
    for row in read_table(path, _COLUMNS):
        yield ReplyRow(
            reply=row["stereotype_template"].replace("[target_group]", row["target_group"]),
            labels={"stereotype": True},
            source="decodingtrust",
            group=row["stereotype_topic"],
            subgroup=row["target_group"],
        )
