"""Fitting the scorer `compliance`: models of harmful requests and of replies to them, and how the two go together.

The model of requests is fitted on requests alone, none of them of JailbreakBench. The model of replies is fitted on
JailbreakBench's replies and on harmless texts, and the regression on both models' scores. Goals are split apart; the
regression sees scores of reply models that were fitted without the goal (cross-fitting), as those of new goals are.
Harmless replies stand there as they are and once more in the form of the attacked models' replies (`agreeing`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from classifiers.fitting.prompts import Split, SplitShares, normalised
from classifiers.fitting.replies import ReplyRow, reply_reader
from classifiers.fitting.replies.agreeing import agreeing
from classifiers.fitting.replies.preparing import RowsConfig, prepare, split_rows
from classifiers.fitting.scorers.few_features import FeatureRow, FewFeaturesConfig, fit_few_features
from classifiers.fitting.scorers.ngrams import NgramConfig, Rows, fit_ngrams
from classifiers.lexical.hashing import Hashing
from classifiers.lexical.model import LexicalClassifier
from classifiers.scorers.compliance.features import CATEGORY, TextModels, compare
from classifiers.scorers.conversations import last_user_turn
from classifiers.scorers.linear import LinearModel

REQUEST_LIMITS = {
    "harmful_requests": 4000,
    "harmless_requests": 8000,
    "self_dialogue": 3000,
    "request_templates": 2000,
}
"""Set of the model of requests -> most rows of it."""
ANSWERED = ("jbb_artifacts", "instructions", "school")
"""Sets with requests and replies: they fit the model of replies and the regression."""
HARMLESS = ("instructions", "school")
"""Those of them whose replies are all harmless."""
SHARES = SplitShares(calibration=0.1, heldout=0.3)
FOLDS = 4
_HASHING = Hashing(bits=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCompliance:
    """The parts of a fitted scorer."""

    models: TextModels
    regression: LinearModel


def request_rows(root: Path, seed: int) -> Rows:
    """What the model of requests is fitted on and measured with."""
    return prepare(RowsConfig(root=root, behaviour=CATEGORY, limits=REQUEST_LIMITS, seed=seed))


def fit_requests(found: Rows, seed: int, command: str) -> LexicalClassifier:
    """Fit the model of requests. Raises `FitError` where the rows do not suffice."""
    return fit_ngrams(found, NgramConfig(category=CATEGORY, command=command, seed=seed, hashing=_HASHING))


def reply_rows(root: Path, without: Collection[str] = ()) -> Rows:
    """Replies to requests, by split of their goal; equal replies to one goal once; held-out ones as they are.

    Args:
        without: attacks (`jbb_artifacts` subgroups) that are left out.
    """
    found = (
        row for name in ANSWERED for row in reply_reader(name)(root) if row.messages and row.subgroup not in without
    )
    by_split = split_rows(once_a_group(found), SHARES)
    for split in (Split.TRAIN, Split.CALIBRATION):
        by_split[split] += agreeing([row for row in by_split[split] if row.source in HARMLESS])
    return by_split


def harmless_texts(root: Path) -> Rows:
    """Harmless texts that answer no request: comments that are not toxic."""
    comments = (row for row in reply_reader("wiki_comments")(root) if not row.labels["toxicity"])
    return split_rows((replace(row, labels={CATEGORY: False}) for row in comments), SHARES)


def once_a_group(rows: Iterable[ReplyRow]) -> list[ReplyRow]:
    """The first of equal replies of one group."""
    kept = {(row.group, normalised(row.reply)): row for row in reversed(list(rows))}
    return list(reversed(kept.values()))


def fit(requests: LexicalClassifier, found: Rows, texts: Rows, seed: int, command: str) -> FittedCompliance:
    """Fit the model of replies and the regression.

    Args:
        requests: the fitted model of requests.
        found: what `reply_rows` gives.
        texts: what `harmless_texts` gives.

    Raises:
        FitError: the rows do not suffice.
    """
    features: list[FeatureRow] = []
    for fold in range(FOLDS):
        inside = [row for row in found[Split.TRAIN] if _fold_of(row) == fold]
        outside = [row for row in found[Split.TRAIN] if _fold_of(row) != fold]
        replies = _fit_replies({**found, Split.TRAIN: outside}, texts, seed, command)
        features += featured(TextModels(request=requests, reply=replies), inside)
    config = FewFeaturesConfig(behaviour=CATEGORY, command=command, seed=seed)
    replies = _fit_replies(found, texts, seed, command)
    return FittedCompliance(
        models=TextModels(request=requests, reply=replies), regression=fit_few_features(features, config)
    )


def featured(models: TextModels, rows: Iterable[ReplyRow]) -> list[FeatureRow]:
    """Rows with their features."""
    return [FeatureRow(row=r, features=compare(models, last_user_turn(r.messages), r.reply)) for r in rows]


def _fit_replies(found: Rows, texts: Rows, seed: int, command: str) -> LexicalClassifier:
    rows: dict[Split, Sequence[ReplyRow]] = {
        split: [row for row in [*found[split], *texts[split]] if row.reply.strip()] for split in Split
    }
    return fit_ngrams(rows, NgramConfig(category=CATEGORY, command=command, seed=seed, hashing=_HASHING))


def _fold_of(row: ReplyRow) -> int:
    return hashlib.sha256((row.group or row.reply).encode()).digest()[0] % FOLDS
