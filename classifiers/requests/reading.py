"""All labelled requests: read, sampled, deduplicated, joined and split, in this order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from classifiers.fitting.prompts import Split, SplitShares
from classifiers.requests import minimal_pairs, own
from classifiers.requests.dedupe import deduplicate_requests, without_repeats
from classifiers.requests.readers import READERS, request_reader
from classifiers.requests.record import RequestRow
from classifiers.requests.sampling import sample_requests
from classifiers.requests.splits import split_requests

LIMITS: Mapping[str, int] = {
    "dolly": 1000,
    "vicomtech_hate": 2400,
    "decodingtrust_toxicity": 1500,
    "decodingtrust_stereotypes": 500,
    "crows_pairs": 500,
    "bold": 800,
    "sgd": 800,
    "jailbreakbench": 100,
    "advbench": 520,
    "malicious_instruct": 100,
    "adversarialqa": 500,
    "tense_rewrites": 1420,
    "jbb_artifacts": 1400,
    "catqa": 550,
    "harmfulqa": 1960,
    "dangerousqa": 200,
    "do_not_answer": 939,
    "self_reminder": 300,
    "inthewild_jailbreaks": 666,
    "moderation_api": 1680,
    "rtp_prompts": 600,
    "toxigen": 3000,
    "davidson_hate": 3000,
    "surge_toxicity": 1000,
    "wiki_comments": 2000,
    "identity_madlibs": 1500,
    "bbq": 1200,
    "winobias": 800,
    "winogender": 120,
    "truthfulqa": 817,
    "seed_instructions": 427,
    "mt_bench": 160,
    "adv_instruction": 600,
    "gsm8k": 1000,
    "mmlu": 3000,
    "nq_open": 3000,
    "self_dialogue": 1500,
    "bbh": 800,
}
"""Set -> most rows of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsConfig:
    """Which requests to read."""

    root: Path | None
    """Folder of the public sets; None for our own rows and minimal pairs alone."""
    limits: Mapping[str, int] = field(default_factory=lambda: dict(LIMITS))
    """Set -> most rows of it; sets that are not named are not read."""
    seed: int = 0
    shares: SplitShares = field(default_factory=SplitShares)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestData:
    """Labelled requests by split; no group is in two of them."""

    by_split: Mapping[Split, Sequence[RequestRow]]
    licences: Mapping[str, str]
    """Source -> licence, of the rows there are."""
    dropped: Mapping[str, int]
    """Reason -> rows that were read and are not in a split."""

    @property
    def rows(self) -> list[RequestRow]:
        """Those of all splits."""
        return [row for split in Split for row in self.by_split[split]]


def read_requests(config: RequestsConfig) -> RequestData:
    """Read, sample, deduplicate and split.

    Raises:
        UnknownMemberError: a set has no reader.
        SourceFormatError: a file is not in its published format.
    """
    dropped: Counter[str] = Counter()
    rows = list(_read_all(config, dropped))
    templates = [name for name, known in READERS.items() if known.templates]
    found = deduplicate_requests(rows, [*templates, *minimal_pairs.SOURCES])
    dropped.update(found.dropped)
    licences = {row.source: row.licence for row in found.rows}
    return RequestData(by_split=split_requests(found.rows, config.shares), licences=licences, dropped=dict(dropped))


def _read_all(config: RequestsConfig, dropped: Counter[str]) -> Iterator[RequestRow]:
    """What measures only first, then our own, then the public sets in their order of preference."""
    readers = {name: request_reader(name) for name in (*READERS, *config.limits) if name in config.limits}
    public = {} if config.root is None else readers
    yield from minimal_pairs.unseen_rows()
    for trains in (False, True):
        for name, reader in public.items():
            if READERS[name].trains is trains and config.root is not None:
                yield from _sampled(name, reader(config.root), config, dropped)
        if not trains:
            yield from own.own_rows()
            yield from minimal_pairs.seen_rows()


def _sampled(
    name: str, rows: Iterable[RequestRow], config: RequestsConfig, dropped: Counter[str]
) -> list[RequestRow]:
    """Big sets are sampled before near duplicates are looked for, which takes longer than reading them."""
    unique, repeats = without_repeats(rows)
    kept = sample_requests(unique, config.limits[name], config.seed)
    dropped.update(repeats)
    dropped["over the limit"] += len(unique) - len(kept)
    return kept
