"""Train, calibration and held-out rows: by a hash of the joined group, so that a source prompt is never divided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from classifiers.fitting.prompts import Split, SplitShares, split_of
from classifiers.requests.record import RequestRow


def split_requests(rows: Sequence[RequestRow], shares: SplitShares) -> dict[Split, list[RequestRow]]:
    """Rows by split, those of one group together; a group with a row that only measures is held out whole."""
    measured = {row.group for row in rows if not row.trains}
    by_split: dict[Split, list[RequestRow]] = {split: [] for split in Split}
    for row in rows:
        by_split[Split.HELDOUT if row.group in measured else split_of(row.group, shares)].append(row)
    return by_split


def training_rows(rows: Iterable[RequestRow]) -> list[RequestRow]:
    """Those that may train a model that ships."""
    return [row for row in rows if row.trains]
