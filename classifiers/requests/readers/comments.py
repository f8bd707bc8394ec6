"""Comments that `classifiers.fitting.replies` already reads: what is said to a model, harmful where it is abuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies import reply_reader
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def comment_rows(root: Path, known: RequestSet, *also: str) -> Iterator[RequestRow]:
    """Every comment of the set of the same name; abusive ones are toxic, and of the categories in `also`."""
    for row in reply_reader(known.name)(root):
        if row.labels["toxicity"]:
            yield known.harmful(row.reply, "toxicity", *also, group=row.group)
        else:
            yield known.harmless(row.reply, unknown=("bias", "misinformation"), group=row.group)
