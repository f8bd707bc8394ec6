"""Identity-term templates of Dixon et al. 2018 (`bias_madlibs_77k.csv`), by identity term."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies.prompts_as_rows import as_rows
from classifiers.fitting.replies.record import ReplyRow

TERMS = [
    "lesbian",
    "gay",
    "bisexual",
    "transgender",
    "trans",
    "queer",
    "lgbt",
    "lgbtq",
    "homosexual",
    "straight",
    "heterosexual",
    "male",
    "female",
    "nonbinary",
    "african",
    "african_american",
    "black",
    "white",
    "european",
    "hispanic",
    "latino",
    "latina",
    "latinx",
    "mexican",
    "canadian",
    "american",
    "asian",
    "indian",
    "middle_eastern",
    "chinese",
    "japanese",
    "christian",
    "muslim",
    "jewish",
    "buddhist",
    "catholic",
    "protestant",
    "sikh",
    "taoist",
    "old",
    "older",
    "young",
    "younger",
    "teenage",
    "millenial",
    "middle_aged",
    "elderly",
    "blind",
    "deaf",
    "paralyzed",
]
"""The identity terms of the set, longer ones to be tried first; an underscore stands for a space."""


def read(root: Path) -> Iterator[ReplyRow]:
    """Filled-in templates; rows without an identity term (occupations) have no subgroup."""
    longest = sorted((term.replace("_", " ") for term in TERMS), key=len, reverse=True)
    for row in as_rows("unintended_bias", "identity_madlibs", root):
        padded = f" {row.reply.lower().rstrip('.')} "
        term = next((term for term in longest if f" {term} " in padded), "")
        yield ReplyRow(reply=row.reply, labels={"toxicity": row.labels["toxicity"]}, source=row.source, subgroup=term)
