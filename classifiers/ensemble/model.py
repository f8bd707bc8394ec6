"""The ensemble: per category the weighted mean of the parts' log-odds, calibrated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from classifiers.artifact import NAME_DIGITS, read_card
from classifiers.base import Conversation, HarmClassifier
from classifiers.ensemble.artifact import EnsembleCard
from classifiers.errors import ArtifactError, ClassifierError
from classifiers.judging import checked_scores
from classifiers.parts import Build, build_part, digest_of

LOG_ODDS_LIMIT = 13.8
"""A probability of a millionth, or of all but that: no part is surer than that, and so none outweighs all others."""


class EnsembleClassifier:
    """`HarmClassifier` over several others, each of which reads the whole conversation."""

    def __init__(self, card: EnsembleCard, parts: tuple[HarmClassifier, ...]) -> None:
        """Take what `load` builds.

        Raises:
            ArtifactError: a part lacks a category that it has a weight for.
        """
        for described, part in zip(card.parts, parts, strict=True):
            missing = {c for c, weight in described.weights.items() if weight > 0} - set(part.categories)
            if missing:
                raise ArtifactError(f"{part.name} has no {', '.join(sorted(missing))}; it has {part.categories}")
        self.card = card
        self.parts = parts
        self._digest = digest_of(card, parts)

    @classmethod
    def load(cls, path: Path, build: Build) -> EnsembleClassifier:
        """Read the card in `path` and build its parts.

        Raises:
            ArtifactError: the card or a part cannot be read, or does not fit.
        """
        card = read_card(path, EnsembleCard, member="ensemble")
        return cls(card, tuple(build_part(part, path, build) for part in card.parts))

    @property
    def name(self) -> str:
        """`ensemble:` and six digits of a hash over the card and the parts' names."""
        return f"ensemble:{self._digest[:NAME_DIGITS]}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.card.categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`; a part that fails fails the whole."""
        found = [part.score(conversations) for part in self.parts]
        return [self._combined(scores) for scores in zip(*found, strict=True)]

    def _combined(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        odds = np.array([self._mean(category, scores) for category in self.categories])
        calibrated = [
            float(self.card.calibration[category].calibrated(odds[n : n + 1])[0])
            for n, category in enumerate(self.categories)
        ]
        return checked_scores(np.array(calibrated), self.categories, self.name)

    def _mean(self, category: str, scores: Sequence[Mapping[str, float]]) -> float:
        weighted = [
            (part.weights[category], _log_odds(found[category]))
            for part, found in zip(self.card.parts, scores, strict=True)
            if part.weights.get(category, 0.0) > 0
        ]
        return sum(weight * odds for weight, odds in weighted) / sum(weight for weight, _ in weighted)


def _log_odds(p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ClassifierError(f"a part of an ensemble scored {p}; wanted a number in [0, 1]")
    if p in (0.0, 1.0):
        return math.copysign(LOG_ODDS_LIMIT, p - 0.5)
    return max(-LOG_ODDS_LIMIT, min(LOG_ODDS_LIMIT, math.log(p) - math.log1p(-p)))
