"""Fitting the scorer `misinformation`: TruthfulQA's answers, each judged against the others of its question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import Split, SplitShares
from classifiers.fitting.replies import ReplyRow
from classifiers.fitting.replies.preparing import split_rows
from classifiers.fitting.replies.record import user_turn
from classifiers.fitting.scorers.few_features import FeatureRow, FewFeaturesConfig, fit_few_features
from classifiers.scorers.linear import LinearModel
from classifiers.scorers.misinformation import BEHAVIOUR
from classifiers.scorers.misinformation.references import Reference, References, load_references, normalised
from classifiers.scorers.misinformation.similarity import compare

SOURCE = "truthfulqa"


def rows(root: Path) -> dict[Split, list[FeatureRow]]:
    """Answers with their features, questions split apart."""
    references = load_references(str(root / "truthfulqa" / "TruthfulQA.csv"))
    by_split = split_rows((held for held in left_out(references)), SplitShares(calibration=0.0, heldout=0.3))
    return {split: [_featured(row, references) for row in found] for split, found in by_split.items()}


def left_out(references: References) -> Iterator[ReplyRow]:
    """Every answer that leaves at least one of each kind beside it."""
    for reference in references.all:
        for answers, wrong in ((reference.correct, False), (reference.incorrect, True)):
            for answer in dict.fromkeys(answers):
                if rest_of(reference, answer) is not None:
                    yield ReplyRow(
                        reply=answer,
                        labels={BEHAVIOUR: wrong},
                        source=SOURCE,
                        messages=user_turn(reference.question),
                        group=reference.question,
                    )


def rest_of(reference: Reference, answer: str) -> Reference | None:
    """The reference without an answer; None where none of a kind would be left."""
    key = normalised(answer)
    correct = tuple(a for a in reference.correct if normalised(a) != key)
    incorrect = tuple(a for a in reference.incorrect if normalised(a) != key)
    if not correct or not incorrect:
        return None
    return Reference(question=reference.question, correct=correct, incorrect=incorrect)


def fit(found: list[FeatureRow], seed: int, command: str) -> LinearModel:
    """Fit the regression. Raises `FitError` where the rows do not suffice."""
    return fit_few_features(found, FewFeaturesConfig(behaviour=BEHAVIOUR, command=command, seed=seed))


def _featured(row: ReplyRow, references: References) -> FeatureRow:
    rest = rest_of(references.of(row.group), row.reply)
    if rest is None:  # `left_out` yields no such row
        raise LookupError(row.group)
    return FeatureRow(row=row, features=compare(row.reply, rest))
