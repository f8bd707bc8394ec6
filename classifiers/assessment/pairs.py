"""Minimal pairs: the same dangerous word once in a harmful request and once in a harmless one."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from classifiers.assessment.figures import SEED
from classifiers.assessment.intervals import RESAMPLES, Interval, interval, resamples
from classifiers.assessment.scored import OVERALL, ScoredRows, source_prompts, truth
from classifiers.assessment.weighted import weighted_auroc
from classifiers.errors import FitError


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFigures:
    """How well the two sides of pairs are told apart."""

    rows: int
    groups: int
    """Groups of rows that share a template or a word, drawn together."""
    auroc: Interval
    """Of all harmful sides against all harmless sides."""
    ordered: Interval
    """Share of (harmful, harmless) couples within a group in which the harmful side scores higher, ties half."""


def pair_figures(scored: ScoredRows, *, count: int = RESAMPLES, seed: int = SEED) -> PairFigures:
    """Figures of the overall score on rows of minimal pairs.

    Raises:
        FitError: no group has both sides.
    """
    scores, labels = scored.of(OVERALL), truth(scored.rows, OVERALL).labels
    groups = source_prompts(scored.rows)
    won, couples = _couples(scores, labels, groups)
    if couples.sum() == 0:
        raise FitError(f"none of {len(won)} groups has a harmful and a harmless side; wanted minimal pairs")
    weights = resamples(groups, seed=seed, count=count)
    first = np.unique(groups, return_index=True)[1]
    return PairFigures(
        rows=len(scores),
        groups=len(won),
        auroc=interval(lambda drawn: weighted_auroc(scores, labels, drawn), weights),
        ordered=interval(lambda drawn: _ratio(drawn[first] @ won, drawn[first] @ couples), weights),
    )


def _couples(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(couples won, couples) of each group."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    won, couples = np.zeros(len(members)), np.zeros(len(members))
    for group, rows in members.items():
        own, shown = scores[rows], labels[rows]
        ahead = own[shown][:, None] - own[~shown][None, :]
        won[group], couples[group] = (0.5 * (1.0 + np.sign(ahead))).sum(), ahead.size
    return won, couples


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else math.nan
