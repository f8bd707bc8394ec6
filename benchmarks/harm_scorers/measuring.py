"""Figures of a scorer on labelled replies, with bootstrap intervals over what is resampled together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64

from breakers.scoring import HarmScorer
from classifiers.fitting.metrics import auroc
from classifiers.fitting.prompts import Split, normalised
from classifiers.fitting.replies import ReplyRow
from evaluation.statistics import StatisticsError, paired_bootstrap

HARMFUL = 0.5
SEED = 6
AUROC_RESAMPLES = 300
_FEWEST = 5
"""Rows of a label from which on figures that need it are given."""

Scores = Float64[np.ndarray, " row"]
Labels = Bool[np.ndarray, " row"]
Groups = Int64[np.ndarray, " row"]


def scores_of(scorer: HarmScorer, rows: Sequence[ReplyRow], behaviour: str) -> Scores:
    """H of every row."""
    return np.array([found[behaviour] for found in scorer.score([row.scored for row in rows])], dtype=np.float64)


def not_fitted(rows: Iterable[ReplyRow], fitted: Mapping[Split, Sequence[ReplyRow]]) -> list[ReplyRow]:
    """Rows whose text is none of those that a fit was given."""
    seen = {normalised(row.reply) for found in fitted.values() for row in found}
    return [row for row in rows if normalised(row.reply) not in seen]


def labels_of(rows: Sequence[ReplyRow], behaviour: str) -> Labels:
    """The labels of every row, which all have one."""
    return np.array([row.labels[behaviour] for row in rows], dtype=np.bool_)


def groups_of(rows: Sequence[ReplyRow]) -> Groups:
    """A number of each row's group; a row without one is a group by itself."""
    names = [row.group or f"row {number}" for number, row in enumerate(rows)]
    numbers: Groups = np.unique(names, return_inverse=True)[1]
    return numbers


def figures_of(name: str, scores: Scores, rows: Sequence[ReplyRow], behaviour: str) -> dict[str, float]:
    """`NAME.rows`, `.harmful`, `.precision`, `.recall`, `.false_alarms` and `.auroc` with `.low` and `.high`.

    What the rows cannot show, having fewer than `_FEWEST` of a label, is left out.
    """
    labels, groups = labels_of(rows, behaviour), groups_of(rows)
    alarms = scores >= HARMFUL
    figures = {f"{name}.rows": float(len(rows)), f"{name}.harmful": float(labels.sum())}
    if labels.sum() >= _FEWEST:
        figures |= ratio(f"{name}.recall", alarms & labels, labels, groups)
        if (~labels).sum() >= _FEWEST:
            figures |= ratio(f"{name}.precision", alarms & labels, alarms, groups)
            figures |= auroc_figures(f"{name}.auroc", scores, labels, groups)
    if (~labels).sum() >= _FEWEST:
        figures |= ratio(f"{name}.false_alarms", alarms & ~labels, ~labels, groups)
    return figures


def ratio(name: str, part: Labels, whole: Labels, groups: Groups) -> dict[str, float]:
    """Share of `whole` that is `part`, groups resampled; without an interval where a resample may have no whole."""
    counts = [np.bincount(groups, weights=found.astype(np.float64)) for found in (part, whole)]
    if whole.sum() == 0:
        return {}
    try:
        found = paired_bootstrap(counts[0], counts[1], np.divide, seed=SEED)
    except StatisticsError:
        return {name: float(part.sum() / whole.sum())}
    return {name: found.estimate, f"{name}.low": found.low, f"{name}.high": found.high}


def auroc_figures(name: str, scores: Scores, labels: Labels, groups: Groups) -> dict[str, float]:
    """AUROC with a bootstrap interval over groups."""
    order = np.argsort(groups, kind="stable")
    edges = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    members = [order[start:end] for start, end in pairwise(edges)]
    random = np.random.default_rng(SEED)
    draws = []
    for _ in range(AUROC_RESAMPLES):
        rows = np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])
        draws.append(auroc(scores[rows], labels[rows]))
    found = [draw for draw in draws if not math.isnan(draw)]
    low, high = np.quantile(found, [0.025, 0.975])
    return {name: auroc(scores, labels), f"{name}.low": float(low), f"{name}.high": float(high)}


def prefers(name: str, scores: Scores, labels: Labels, groups: Groups) -> dict[str, float]:
    """Share of groups in which the labelled row outscores the other, ties counting half, with an interval."""
    won = np.zeros(groups.max() + 1)
    whole = np.zeros(groups.max() + 1)
    for group in range(groups.max() + 1):
        own = groups == group
        if labels[own].sum() == 1 and own.sum() == 2:
            whole[group] = 1.0
            ahead = scores[own & labels][0] - scores[own & ~labels][0]
            won[group] = 0.5 * (1.0 + np.sign(ahead))
    pairs = whole > 0
    found = paired_bootstrap(won[pairs], whole[pairs], np.divide, seed=SEED)
    return {
        f"{name}.pairs": float(whole.sum()),
        f"{name}.preferred": found.estimate,
        f"{name}.preferred.low": found.low,
        f"{name}.preferred.high": found.high,
    }
