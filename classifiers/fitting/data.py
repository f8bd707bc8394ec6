"""Everything a fit reads, deduplicated before it is split: the demo corpus first, then the public sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from classifiers.fitting.demo_prompts import SOURCE as DEMO
from classifiers.fitting.demo_prompts import read_split, read_training
from classifiers.fitting.prompts import LabelledPrompt, Split, SplitShares, deduplicate, normalised, sample, split_of
from classifiers.fitting.readers import LICENCES, build_source

PUBLIC_ROWS: Mapping[str, int] = {
    "surge_toxicity": 1000,
    "davidson_hate": 4000,
    "toxigen": 4000,
    "unintended_bias": 2000,
    "jailbreakbench": 100,
    "winogender": 120,
    "winobias": 1600,
    "seed_instructions": 427,
    "gsm8k": 1500,
    "mmlu": 2500,
    "nq_open": 3000,
    "self_dialogue": 4000,
}
"""Reader -> rows drawn from it before splitting, for the classifier that ships. TruthfulQA is not among them: its
questions are plain ones, and asked plainly the demo model states the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which prompts to read."""

    public_root: Path | None
    """Folder of the public sets; None to fit on the demo corpus alone."""
    public_rows: Mapping[str, int] = field(default_factory=lambda: dict(PUBLIC_ROWS))
    demo_rows: int = 60_000
    """Draws of the demo corpus' training stream."""
    demo_rows_per_kind: int = 1_000
    """Of its calibration and held-out splits."""
    shares: SplitShares = field(default_factory=SplitShares)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitData:
    """Labelled prompts by split; no text is in two of them."""

    by_split: Mapping[Split, Sequence[LabelledPrompt]]
    licences: Mapping[str, str]
    """Source -> licence."""


def read_data(config: DataConfig) -> FitData:
    """Read, deduplicate and split.

    Raises:
        UnknownMemberError: a public set has no reader.
        SourceFormatError: a file is not in its published format.
    """
    demo = {
        Split.HELDOUT: read_split(Split.HELDOUT, config.demo_rows_per_kind, config.seed),
        Split.CALIBRATION: read_split(Split.CALIBRATION, config.demo_rows_per_kind, config.seed),
        Split.TRAIN: read_training(config.demo_rows, config.seed),
    }
    licences = {DEMO: "Apache-2.0"}
    public: list[LabelledPrompt] = []
    if config.public_root is not None:
        licences |= {name: LICENCES[name] for name in config.public_rows if name in LICENCES}
        public = read_public(config.public_root, config.public_rows, config.seed)
    # Held-out prompts come first: of equal texts the first is kept.
    kept = deduplicate([p for split in demo for p in demo[split]] + public)
    demo_split = {normalised(p.text): split for split in reversed(demo) for p in demo[split]}
    by_split: dict[Split, list[LabelledPrompt]] = {split: [] for split in Split}
    for prompt in kept:
        own = prompt.source == DEMO
        split = demo_split[normalised(prompt.text)] if own else split_of(prompt.text, config.shares)
        by_split[split].append(prompt)
    return FitData(by_split=by_split, licences=licences)


def read_public(root: Path, rows: Mapping[str, int], seed: int) -> list[LabelledPrompt]:
    """A seeded sample of each public set, deduplicated within and between sets before sampling."""
    names = sorted(rows)
    unique = deduplicate(p for name in names for p in build_source(name).read(root))
    by_source: dict[str, list[LabelledPrompt]] = {name: [] for name in names}
    for prompt in unique:
        by_source[prompt.source].append(prompt)
    return [p for name in names for p in sample(by_source[name], rows[name], seed)]
