"""ToxiGen's few-shot statements about groups, hateful or neutral; the neutral ones name the same groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies import reply_reader
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """Single statements, once each and label: the lists repeat them hundreds of times."""
    seen = set()
    for row in reply_reader("toxigen")(root):
        if (row.reply, row.labels["toxicity"]) in seen:
            continue
        seen.add((row.reply, row.labels["toxicity"]))
        if row.labels["toxicity"]:
            yield known.harmful(row.reply, "toxicity", "hate")
        else:
            yield known.harmless(row.reply, unknown=("bias",))
