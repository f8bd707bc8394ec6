"""Davidson et al. 2017: tweets of hate, offence or neither; offence counts where it addresses someone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import normalised
from classifiers.fitting.readers import build_source
from classifiers.fitting.replies import reply_reader
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """Tweets; those that are offensive in their words alone are left out."""
    addressed = {normalised(p.text) for p in build_source("davidson_hate").read(root) if p.labels["toxicity"]}
    for row in reply_reader("davidson_hate")(root):
        if row.subgroup == "hate":
            yield known.harmful(row.reply, "toxicity", "hate")
        elif row.subgroup == "neither":
            yield known.harmless(row.reply, unknown=("bias", "misinformation"))
        elif normalised(row.reply) in addressed:
            yield known.harmful(row.reply, "toxicity", denied=("hate", "jailbreak"))
