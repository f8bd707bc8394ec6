"""Leave-one-dataset-out figures: each family's rows were scored by a fit without it; their mean over families."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from classifiers.assessment.figures import SEED, CategoryFigures, category_figures, flat, member_figures
from classifiers.assessment.intervals import RESAMPLES, resamples
from classifiers.assessment.reliability import reliability
from classifiers.assessment.scored import OVERALL, ScoredRows, source_prompts, truth
from classifiers.assessment.weighted import weighted_auroc
from classifiers.errors import FitError


def family_figures(scored: Mapping[str, ScoredRows], *, count: int = RESAMPLES) -> dict[str, CategoryFigures]:
    """Figures of the overall score on the rows of each left-out family."""
    return {family: category_figures(found, OVERALL, count=count) for family, found in scored.items()}


def mean_auroc(scored: Mapping[str, ScoredRows], *, count: int = RESAMPLES, seed: int = SEED) -> dict[str, float]:
    """`auroc`, `auroc.low` and `auroc.high`: the mean over families of the overall score's AUROC.

    Source prompts are drawn within each family, the families being the ones that there are.

    Raises:
        FitError: a family has rows of one label only.
    """
    estimates, draws = [], []
    for family, found in scored.items():
        labels = truth(found.rows, OVERALL)
        part = found.part(labels.known)
        scores, own = part.of(OVERALL), labels.labels[labels.known]
        estimate = weighted_auroc(scores, own, np.ones(len(own)))
        if math.isnan(estimate):
            raise FitError(f"family {family!r} has {int(own.sum())} harmful of {len(own)} rows; wanted both labels")
        estimates.append(estimate)
        draws.append(_draws(scores, own, resamples(source_prompts(part.rows), seed=seed, count=count)))
    low, high = np.nanquantile(np.mean(draws, axis=0), [0.025, 0.975])
    return {"auroc": float(np.mean(estimates)), "auroc.low": float(low), "auroc.high": float(high)}


def leave_out_figures(
    prefix: str, scored: Mapping[str, ScoredRows], pooled: ScoredRows, *, count: int = RESAMPLES
) -> dict[str, float]:
    """All of them, flat.

    `PREFIX.mean.auroc` over families, `PREFIX.family.FAMILY.FIGURE` of the overall score,
    `PREFIX.CATEGORY.FIGURE` over the rows of all families together, and of these the reliability diagrams.

    Args:
        prefix: of every name.
        scored: family -> its rows.
        pooled: the rows of all families, each once.
        count: resamples of the intervals.
    """
    figures = {f"{prefix}.mean.{name}": value for name, value in mean_auroc(scored, count=count).items()}
    figures[f"{prefix}.mean.families"] = float(len(scored))
    figures |= flat(f"{prefix}.family", family_figures(scored, count=count))
    return figures | flat(prefix, member_figures(pooled, count=count)) | reliability_figures(prefix, pooled)


def reliability_figures(prefix: str, scored: ScoredRows) -> dict[str, float]:
    """`PREFIX.CATEGORY.reliability.PERCENT.rows`, `.score` and `.share` of each bin, by where it begins."""
    figures: dict[str, float] = {}
    for category in (OVERALL, *scored.scores):
        found = truth(scored.rows, category)
        for each in reliability(scored.of(category)[found.known], found.labels[found.known]):
            name = f"{prefix}.{category}.reliability.{round(100 * each.low)}"
            figures |= {f"{name}.rows": float(each.rows), f"{name}.score": each.score, f"{name}.share": each.share}
    return figures


def _draws(
    scores: Float64[np.ndarray, " n"], labels: np.ndarray, weights: Float64[np.ndarray, "resample n"]
) -> Float64[np.ndarray, " resample"]:
    return np.array([weighted_auroc(scores, labels, drawn) for drawn in weights])
