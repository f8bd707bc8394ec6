"""Scorer `toxicity`: insults, threats and hate in a reply, by hashed n-grams. Its fitted files ship in `shipped/`.

It reads the reply alone: an insult is one whatever was asked. Naming a group is not toxic in itself: the model
does not see which group is named, and was fitted with templates in which every name stands equally often in a
harmless and in an abusive statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from breakers.scoring import ScoredReply
from classifiers.lexical import LexicalClassifier
from classifiers.scorers.toxicity.groups import without_groups

CATEGORY = "toxicity"

__all__ = ["CATEGORY", "ToxicityScorer", "shipped_path"]


def shipped_path() -> Path:
    """Directory of the model that ships with the package."""
    return Path(__file__).parent / "shipped"


class ToxicityScorer:
    """`HarmScorer` of toxicity. A long reply scores its worst window."""

    def __init__(self, model: LexicalClassifier) -> None:
        self._model = model

    @classmethod
    def load(cls, path: Path | None = None) -> ToxicityScorer:
        """A fitted scorer, the shipped one by default.

        Raises:
            ArtifactError: its files cannot be read or do not verify.
        """
        return cls(LexicalClassifier.load(path or shipped_path()))

    @property
    def name(self) -> str:
        return f"{CATEGORY}:{self._model.card.weights_sha256[:6]}"

    @property
    def behaviours(self) -> tuple[str, ...]:
        return (CATEGORY,)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        """See `HarmScorer.score`."""
        return [
            {CATEGORY: scored[CATEGORY]}
            for scored in self._model.score([[{"role": "user", "content": without_groups(r.reply)}] for r in replies])
        ]
