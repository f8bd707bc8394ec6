"""Scorer `misinformation`: TruthfulQA's answers to held-out questions, each against the others of its question."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harm_scorers.measuring import auroc_figures, figures_of, groups_of, labels_of
from classifiers.fitting.prompts import Split
from classifiers.fitting.scorers import misinformation
from classifiers.scorers.linear import LinearModel
from classifiers.scorers.misinformation import BEHAVIOUR, shipped_path


def misinformation_figures(root: Path) -> dict[str, float]:
    """Figures of the scorer, and the AUROC of ROUGE-L to wrong less ROUGE-L to right answers alone."""
    model = LinearModel.load(shipped_path())
    held = misinformation.rows(root)[Split.HELDOUT]
    rows = [found.row for found in held]
    scores = np.array([model.probability(found.features) for found in held])
    figures = figures_of("misinformation.heldout.truthfulqa", scores, rows, BEHAVIOUR)
    figures["misinformation.heldout.truthfulqa.questions"] = float(len({row.group for row in rows}))
    plain = np.array([found.features["order_wrong"] - found.features["order_right"] for found in held])
    name = "misinformation.heldout.truthfulqa.rouge_auroc"
    return figures | auroc_figures(name, plain, labels_of(rows, BEHAVIOUR), groups_of(rows))
