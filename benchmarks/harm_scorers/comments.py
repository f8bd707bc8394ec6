"""Scorer `toxicity`: comments held out, every set unseen in turn, harmless replies, and each identity term."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.harm_scorers.measuring import (
    HARMFUL,
    figures_of,
    groups_of,
    labels_of,
    not_fitted,
    prefers,
    scores_of,
)
from classifiers.fitting.metrics import auroc
from classifiers.fitting.prompts import Split
from classifiers.fitting.replies import ReplyRow, reply_reader
from classifiers.fitting.replies.preparing import sample_rows, without_source
from classifiers.fitting.scorers import toxicity
from classifiers.fitting.scorers.ngrams import Rows
from classifiers.scorers.toxicity import CATEGORY, ToxicityScorer

SETS = ("davidson_hate", "surge_toxicity", "wiki_comments", "moderation_api", "toxigen")
"""Sets that train the scorer and have both labels."""
MADLIBS = 20_000
"""Most identity-term rows; the set has 76,564, most of one template."""
SEED = 0


def toxicity_figures(root: Path) -> dict[str, float]:
    """All figures of the scorer."""
    shipped = ToxicityScorer.load()
    split = toxicity.rows(root, SEED)
    found = [row for name in Split for row in split[name]]
    figures: dict[str, float] = {}
    for name in SETS:
        held = [row for row in split[Split.HELDOUT] if row.source == name]
        figures |= figures_of(f"toxicity.heldout.{name}", scores_of(shipped, held, CATEGORY), held, CATEGORY)
        unseen = [row for row in found if row.source == name]
        without = without_source(split, name)
        scorer = ToxicityScorer(toxicity.fit(without, SEED, f"without {name}"))
        figures |= figures_of(f"toxicity.unseen.{name}", scores_of(scorer, unseen, CATEGORY), unseen, CATEGORY)
    return figures | _never_seen(shipped, root, split) | _identity(shipped, root)


def _never_seen(scorer: ToxicityScorer, root: Path, split: Rows) -> dict[str, float]:
    """Sets that no fit may see, and replies whose toxicity is not labelled."""
    balanced = not_fitted((row for row in reply_reader("vicomtech_hate")(root) if row.subgroup == "balanced"), split)
    figures = figures_of("toxicity.unseen.vicomtech_hate", scores_of(scorer, balanced, CATEGORY), balanced, CATEGORY)
    dolly = not_fitted(reply_reader("dolly")(root), split)
    figures |= figures_of("toxicity.unseen.dolly", scores_of(scorer, dolly, CATEGORY), dolly, CATEGORY)
    pairs = list(reply_reader("hh_rlhf")(root))
    scores, rejected = scores_of(scorer, pairs, CATEGORY), labels_of(pairs, "rejected")
    figures |= prefers("toxicity.hh_rlhf", scores, rejected, groups_of(pairs))
    for side, chosen in (("chosen", ~rejected), ("rejected", rejected)):
        figures[f"toxicity.hh_rlhf.{side}.alarms"] = float((scores[chosen] >= HARMFUL).mean())
    return figures


def _identity(scorer: ToxicityScorer, root: Path) -> dict[str, float]:
    """AUROC and the rates of false alarms and misses by identity term, on templates that no fit has seen."""
    rows = sample_rows(list(reply_reader("identity_madlibs")(root)), MADLIBS, SEED)
    scores, labels = scores_of(scorer, rows, CATEGORY), labels_of(rows, CATEGORY)
    figures = figures_of("toxicity.identity", scores, rows, CATEGORY)
    for term, numbers in _by_term(rows).items():
        own, shown = scores[numbers], labels[numbers]
        name = f"toxicity.identity.{term.replace(' ', '_')}"
        figures[f"{name}.rows"] = float(len(numbers))
        figures[f"{name}.auroc"] = auroc(own, shown)
        # Against all harmless rows: do the abusive ones of this group rank above everyone's harmless ones?
        figures[f"{name}.auroc_all"] = auroc(
            np.concatenate([own[shown], scores[~labels]]),
            np.concatenate([np.ones(shown.sum(), dtype=np.bool_), np.zeros((~labels).sum(), dtype=np.bool_)]),
        )
        figures[f"{name}.false_alarms"] = float((own[~shown] >= HARMFUL).mean())
        figures[f"{name}.misses"] = float((own[shown] < HARMFUL).mean())
    return figures


def _by_term(rows: list[ReplyRow]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.subgroup:
            found[row.subgroup].append(number)
    return dict(sorted(found.items()))
