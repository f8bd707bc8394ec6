"""CrowS-Pairs: 1,508 sentences that say of a group what people say of it, each beside one of another group.

Share-alike. The two differ in who is named, so a model of words can hardly tell them apart; figures are of which of
them scores higher.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.fitting.replies.record import ReplyRow

_COLUMNS = ("", "sent_more", "sent_less", "stereo_antistereo", "bias_type")


def read(root: Path) -> Iterator[ReplyRow]:
    """The two sentences of each pair, the one with the disadvantaged group first."""
    for row in read_table(root / "crows-pairs" / "crows_pairs_anonymized.csv", _COLUMNS):
        for side, shown in (("sent_more", True), ("sent_less", False)):
            yield ReplyRow(
                reply=row[side],
                labels={"stereotype": shown},
                source="crows_pairs",
                group=row[""],
                subgroup=row["bias_type"],
            )
