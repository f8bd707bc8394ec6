"""Figures of a fitted classifier on held-out prompts, flat: `part.category.figure`.

`demo` is the demo corpus' held-out split, whole conversations, all kinds; `public` the held-out part of the public
sets together, and `public.SOURCE` each set that has both classes. Ranking and decisions are measured against the
labels. Calibration is measured against the unmodified model's outcomes where they are given, else against labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from jaxtyping import Float64

from classifiers.base import HarmClassifier
from classifiers.fitting.demo_prompts import SOURCE as DEMO
from classifiers.fitting.metrics import auroc, classifier_figures, expected_calibration_error
from classifiers.fitting.outcomes import Outcomes
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.training import labels_of

_DIGITS = 4


def evaluate_classifier(
    classifier: HarmClassifier, prompts: Sequence[LabelledPrompt], outcomes: Outcomes | None
) -> dict[str, float]:
    """All figures of all categories; figures that the prompts cannot show are left out."""
    scored = classifier.score([p.conversation for p in prompts])
    figures: dict[str, float] = {}
    for category in classifier.categories:
        scores = np.array([s[category] for s in scored], dtype=np.float64)
        demo = [i for i, p in enumerate(prompts) if p.source == DEMO]
        public = [i for i, p in enumerate(prompts) if p.source != DEMO]
        figures |= _part(f"demo.{category}", [prompts[i] for i in demo], scores[demo], category)
        figures |= _part(f"public.{category}", [prompts[i] for i in public], scores[public], category)
        figures |= _by_source([prompts[i] for i in public], scores[public], category)
        if outcomes is not None and demo:
            observed = outcomes.of([prompts[i] for i in demo], category)
            figures[f"demo.{category}.ece"] = expected_calibration_error(scores[demo], observed)
            figures[f"demo.{category}.outcome_share"] = float(observed.mean())
    return {name: round(value, _DIGITS) for name, value in figures.items() if not math.isnan(value)}


def _part(
    name: str, prompts: Sequence[LabelledPrompt], scores: Float64[np.ndarray, " prompt"], category: str
) -> dict[str, float]:
    known, labels = labels_of(prompts, category)
    if not known.any():
        return {}
    found = asdict(classifier_figures(scores[known], labels[known]))
    return {f"{name}.{figure}": float(value) for figure, value in found.items()}


def _by_source(
    prompts: Sequence[LabelledPrompt], scores: Float64[np.ndarray, " prompt"], category: str
) -> dict[str, float]:
    known, labels = labels_of(prompts, category)
    sources = np.array([p.source for p in prompts])
    figures = {}
    for source in sorted(set(sources.tolist())):
        rows = known & (sources == source)
        figures[f"public.{source}.{category}.auroc"] = auroc(scores[rows], labels[rows])
    return figures
