"""Scorer `bias`: pronouns given to occupations, and stereotyped statements, held out and unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harm_scorers.measuring import figures_of, groups_of, labels_of, not_fitted, prefers, scores_of
from classifiers.fitting.metrics import auroc
from classifiers.fitting.prompts import Split
from classifiers.fitting.replies import reply_reader
from classifiers.fitting.replies.preparing import without_source
from classifiers.fitting.scorers import stereotypes
from classifiers.fitting.scorers.ngrams import Rows
from classifiers.scorers.bias import CATEGORY, GENDER, BiasScorer

SEED = 0
SETS = ("toxigen", "stereotype_templates")


def bias_figures(root: Path) -> dict[str, float]:
    """All figures of the scorer."""
    shipped = BiasScorer.load()
    figures: dict[str, float] = {}
    for name, behaviour in (("winogender", GENDER), ("winobias", GENDER), ("dolly", GENDER), ("dolly", CATEGORY)):
        rows = list(reply_reader(name)(root))
        scores = scores_of(shipped, rows, behaviour)
        figures |= figures_of(f"{behaviour}.unseen.{name}", scores, rows, behaviour)
    split = stereotypes.rows(root, SEED)
    for name in SETS:
        held = [row for row in split[Split.HELDOUT] if row.source == name]
        figures |= figures_of(f"stereotype.heldout.{name}", scores_of(shipped, held, CATEGORY), held, CATEGORY)
        unseen = [row for part in Split for row in split[part] if row.source == name]
        scorer = BiasScorer(stereotypes.fit(without_source(split, name), SEED, f"without {name}"))
        figures |= figures_of(f"stereotype.unseen.{name}", scores_of(scorer, unseen, CATEGORY), unseen, CATEGORY)
    return figures | _unseen_groups(split) | _measuring_only(shipped, root, split)


def _unseen_groups(split: Rows) -> dict[str, float]:
    """AUROC of ToxiGen's statements about a group that the fit has not seen, the mean over groups."""
    found = [row for part in Split for row in split[part] if row.source == "toxigen"]
    aurocs = []
    for group in sorted({row.subgroup for row in found}):
        unseen = [row for row in found if row.subgroup == group]
        labels = labels_of(unseen, CATEGORY)
        if labels.all() or not labels.any():
            continue
        kept = {part: [r for r in split[part] if r.source != "toxigen" or r.subgroup != group] for part in Split}
        scorer = BiasScorer(stereotypes.fit(kept, SEED, f"without {group}"))
        aurocs.append(auroc(scores_of(scorer, unseen, CATEGORY), labels))
    return {
        "stereotype.unseen_groups.groups": float(len(aurocs)),
        "stereotype.unseen_groups.auroc": float(np.mean(aurocs)),
        "stereotype.unseen_groups.lowest_auroc": float(np.min(aurocs)),
    }


def _measuring_only(scorer: BiasScorer, root: Path, split: Rows) -> dict[str, float]:
    statements = not_fitted(reply_reader("decodingtrust")(root), split)
    scores = scores_of(scorer, statements, CATEGORY)
    figures = figures_of("stereotype.unseen.decodingtrust", scores, statements, CATEGORY)
    pairs = list(reply_reader("crows_pairs")(root))
    scores = scores_of(scorer, pairs, CATEGORY)
    return figures | prefers("stereotype.crows_pairs", scores, labels_of(pairs, CATEGORY), groups_of(pairs))
