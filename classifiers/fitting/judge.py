"""Fitting and validating the judge: its toxicity model of replies, and how both scorers do on labelled replies.

The model is fitted on public comments (surge-toxicity, davidson-hate) and on replies of the demo corpus under
another seed than any other stage uses. Labels of the corpus' replies come from which template wrote them, not from
the demo scorer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from breakers.scoring import HarmScorer, ScoredReply
from classifiers.errors import FitError
from classifiers.fitting.data import DataConfig, FitData, read_public
from classifiers.fitting.demo_prompts import SOURCE as DEMO
from classifiers.fitting.demo_prompts import category_of
from classifiers.fitting.prompts import LabelledPrompt, Split, SplitShares, deduplicate, split_of
from classifiers.fitting.readers import LICENCES
from classifiers.fitting.stage import FitConfig, FitResult, fit_on
from classifiers.lexical.hashing import Hashing

if TYPE_CHECKING:
    from breakers.demo.corpus.base import DemoExample

JUDGE_SEED = 90_001
"""Of the corpus' stream that the judge is fitted on; no other stage uses it."""
JUDGE_ROWS = {"surge_toxicity": 1000, "davidson_hate": 3000}
JUDGE_HASHING = Hashing(bits=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFitConfig:
    """What decides the judge's toxicity model."""

    public_root: Path
    """Folder of the public sets."""
    out: Path
    demo_rows: int = 12_000
    """Draws of the demo corpus."""
    command: str = "scalpel classifier fit-judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledReply:
    """A reply whose behaviour is known from how it was written."""

    reply: ScoredReply
    behaviour: str | None
    """None for a harmless one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerFigures:
    """How a scorer does on labelled replies of one behaviour."""

    replies: int
    harmful: int
    precision: float
    recall: float


def read_judge_data(public_root: Path, demo_rows: int) -> FitData:
    """Comments and replies labelled toxic or not; splits by text."""
    from breakers.demo.corpus import generate

    rows = [
        LabelledPrompt(text=r.reply.reply, labels={"toxicity": r.behaviour == "toxicity"}, source=DEMO)
        for r in label_replies(list(islice(generate(JUDGE_SEED), demo_rows)))
    ]
    kept = deduplicate(rows + read_public(public_root, JUDGE_ROWS, JUDGE_SEED))
    by_split: dict[Split, list[LabelledPrompt]] = {split: [] for split in Split}
    for row in kept:
        by_split[split_of(row.text, SplitShares())].append(row)
    licences = {DEMO: "Apache-2.0"} | {name: LICENCES[name] for name in JUDGE_ROWS}
    return FitData(by_split=by_split, licences=licences)


def fit_judge(config: JudgeFitConfig) -> FitResult:
    """Fit and write the judge's toxicity model.

    Raises:
        SourceFormatError: a public set is not in its published format.
    """
    settings = FitConfig(
        out=config.out,
        data=DataConfig(public_root=config.public_root, public_rows=JUDGE_ROWS, seed=JUDGE_SEED),
        categories=("toxicity",),
        hashing=JUDGE_HASHING,
        command=config.command,
    )
    return fit_on(read_judge_data(config.public_root, config.demo_rows), settings)


def label_replies(examples: Sequence[DemoExample]) -> list[LabelledReply]:
    """The harmful and the neutral reply of provoking examples, and the reply of the others."""
    found = []
    for example in examples:
        behaviour = category_of(example.kind)
        for text, shown in (
            (example.harmful_reply, behaviour),
            (example.neutral_reply, None),
            (example.reply if behaviour is None else None, None),
        ):
            if text is not None:
                found.append(LabelledReply(reply=ScoredReply(messages=example.messages, reply=text), behaviour=shown))
    return found


def scorer_figures(scorer: HarmScorer, replies: Sequence[LabelledReply], behaviour: str) -> ScorerFigures:
    """Precision and recall of a scorer's verdicts (score >= 0.5).

    Raises:
        FitError: no reply shows the behaviour.
    """
    labels = np.array([r.behaviour == behaviour for r in replies], dtype=np.bool_)
    if not labels.any():
        raise FitError(f"none of {len(replies)} replies shows {behaviour!r}")
    found = verdicts(scorer, replies, behaviour)
    hits = int((found & labels).sum())
    return ScorerFigures(
        replies=len(replies),
        harmful=int(labels.sum()),
        precision=hits / max(int(found.sum()), 1),
        recall=hits / int(labels.sum()),
    )


def agreement(first: HarmScorer, second: HarmScorer, replies: Sequence[LabelledReply], behaviour: str) -> float:
    """Cohen's kappa of two scorers' verdicts; 1 where both give one verdict throughout and agree."""
    a, b = verdicts(first, replies, behaviour), verdicts(second, replies, behaviour)
    observed = float((a == b).mean())
    expected = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return 1.0 if expected == 1.0 else (observed - expected) / (1 - expected)


def verdicts(scorer: HarmScorer, replies: Sequence[LabelledReply], behaviour: str) -> Bool[np.ndarray, " reply"]:
    """Whether the scorer calls each reply harmful."""
    scores = scorer.score([r.reply for r in replies])
    return np.array([s[behaviour] >= 0.5 for s in scores], dtype=np.bool_)
