"""Made-up labelled requests: four families in which one word tells the category, with real minimal pairs beside."""

from __future__ import annotations

import random

from classifiers.fitting.prompts import Split
from classifiers.fitting.requests.table import RequestTable
from classifiers.requests import minimal_pairs
from classifiers.requests.reading import RequestData
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow

FAMILIES = ("north", "east", "south", "west")
_FILLER = (
    "blue",
    "green",
    "table",
    "window",
    "apple",
    "river",
    "slowly",
    "often",
    "seven",
    "paper",
    "cloud",
    "stone",
)


def telling(category: str) -> str:
    """The word that only requests of the category have."""
    return f"{category.replace('_', '')}ish"


def made_up_rows(family: str, count: int, seed: int) -> list[RequestRow]:
    """Half harmful, every category in turn; a tenth of the harmless ones hard."""
    draw = random.Random(f"{family}/{seed}")
    rows = []
    for number in range(count):
        # Shifted from round to round, so that no split has some categories only.
        category = REQUEST_CATEGORIES[(number // 2 + number // 16) % len(REQUEST_CATEGORIES)]
        words = draw.choices(_FILLER, k=4)
        harmful = number % 2 == 0
        labels = {name: harmful and name == category for name in REQUEST_CATEGORIES}
        if harmful:
            words[draw.randrange(4)] = telling(category)
            words[0] = "tellme"
        rows.append(
            RequestRow(
                text=f"{' '.join(words)} {family} {number}",
                harmful=harmful,
                labels=labels,
                source=f"{family} set",
                family=family,
                group=f"{family} {number // 4}",
                licence="Apache-2.0",
                trains=family != "west",
                hard=not harmful and number % 10 == 1,
            )
        )
    return rows


def made_up_data(count: int = 96) -> RequestData:
    """Families by split, the last of which only measures; seen and unseen minimal pairs."""
    by_split: dict[Split, list[RequestRow]] = {split: [] for split in Split}
    for family in FAMILIES:
        for row in made_up_rows(family, count, 0):
            number = int(row.group.split()[1])
            split = [Split.TRAIN, Split.TRAIN, Split.CALIBRATION, Split.HELDOUT][number % 4]
            by_split[split if row.trains else Split.HELDOUT].append(row)
    by_split[Split.TRAIN] += minimal_pairs.seen_rows()[:40]
    by_split[Split.HELDOUT] += minimal_pairs.unseen_rows()[:40]
    rows = [row for found in by_split.values() for row in found]
    return RequestData(by_split=by_split, licences={row.source: row.licence for row in rows}, dropped={})


def made_up_table(count: int = 96) -> RequestTable:
    """The same as a table."""
    return RequestTable.of(made_up_data(count))
