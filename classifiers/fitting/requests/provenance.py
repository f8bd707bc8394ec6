"""What a card says of the data that trained a classifier of requests."""

from __future__ import annotations

from collections.abc import Sequence

from classifiers.assessment.scored import truth
from classifiers.errors import FitError
from classifiers.fitting.requests.table import rows_sha256
from classifiers.lexical.artifact import SourceCard
from classifiers.requests.record import RequestRow


def source_cards(rows: Sequence[RequestRow], categories: Sequence[str]) -> tuple[SourceCard, ...]:
    """Name, licence, rows and positives of each set that trained.

    Raises:
        FitError: a row's licence does not let it train what ships.
    """
    refused = sorted({row.source for row in rows if not row.trains})
    if refused:
        raise FitError(
            f"{', '.join(refused)} may not train what ships: licence missing, share-alike or non-commercial"
        )
    by_source: dict[str, list[RequestRow]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    return tuple(
        SourceCard(
            name=name,
            licence=own[0].licence,
            rows=len(own),
            positives={category: int(truth(own, category).labels.sum()) for category in categories},
            sha256=rows_sha256(own),
        )
        for name, own in sorted(by_source.items())
    )
