"""What is in a file of pairs, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from breakers.errors import PairsError
from breakers.pairs.files import pairs_sha256
from breakers.pairs.record import PairRecord, prompt_key


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStats:
    """Counts of pairs; lengths in words."""

    pairs: int
    prompts: int
    """Different ones, by their words."""
    with_contrast: int
    behaviours: Mapping[str, int]
    splits: Mapping[str, int]
    sources: Mapping[str, int]
    licences: Mapping[str, int]
    prompt_words: float
    """Median over pairs, all turns together; so are the next two."""
    harmful_words: float
    neutral_words: float
    sha256: str


def pair_stats(records: Iterable[PairRecord]) -> PairStats:
    """Count.

    Raises:
        PairsError: there are no pairs.
    """
    records = list(records)
    if not records:
        raise PairsError("there are no pairs to count; wanted at least one")
    return PairStats(
        pairs=len(records),
        prompts=len({prompt_key(record.messages) for record in records}),
        with_contrast=sum(record.contrast_prompt is not None for record in records),
        behaviours=_counted(record.behaviour for record in records),
        splits=_counted(record.split.value for record in records),
        sources=_counted(record.source for record in records),
        licences=_counted(record.licence for record in records),
        prompt_words=float(median(sum(len(m.content.split()) for m in record.messages) for record in records)),
        harmful_words=float(median(len(record.harmful.split()) for record in records)),
        neutral_words=float(median(len(record.neutral.split()) for record in records)),
        sha256=pairs_sha256(records),
    )


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
