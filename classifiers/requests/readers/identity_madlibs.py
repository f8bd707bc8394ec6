"""Identity-term templates of Dixon et al. 2018: harmless ones name the same groups, and are hard ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies import reply_reader
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """Filled-in templates, by their text without the identity term."""
    for row in reply_reader("identity_madlibs")(root):
        group = row.reply.replace(row.subgroup, "_") if row.subgroup else row.reply
        if row.labels["toxicity"]:
            yield known.harmful(row.reply, "toxicity", group=group)
        else:
            yield known.harmless(row.reply, unknown=("bias", "misinformation"), hard=True, group=group)
