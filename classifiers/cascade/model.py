"""The cascade: the dear part is asked for a conversation where any score of the cheap one lies in its band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from classifiers.artifact import NAME_DIGITS, read_card
from classifiers.base import Conversation, HarmClassifier
from classifiers.cascade.artifact import CascadeCard
from classifiers.errors import ArtifactError, ClassifierError
from classifiers.parts import Build, build_part, digest_of


class CascadeClassifier:
    """`HarmClassifier` that mostly costs what its cheap part costs. What the dear part says replaces all scores."""

    def __init__(self, card: CascadeCard, cheap: HarmClassifier, dear: HarmClassifier) -> None:
        """Take what `load` builds.

        Raises:
            ArtifactError: the parts have other categories, or a band is of none.
        """
        if set(cheap.categories) != set(dear.categories):
            raise ArtifactError(
                f"a cascade of {cheap.name} ({', '.join(cheap.categories)}) and {dear.name} "
                f"({', '.join(dear.categories)}); wanted the same categories"
            )
        unknown = set(card.bands) - set(cheap.categories)
        if unknown:
            raise ArtifactError(
                f"bands of {', '.join(sorted(unknown))}; categories are {', '.join(cheap.categories)}"
            )
        self.card = card
        self.parts = (cheap, dear)
        self._digest = digest_of(card, self.parts)

    @classmethod
    def load(cls, path: Path, build: Build) -> CascadeClassifier:
        """Read the card in `path` and build its parts.

        Raises:
            ArtifactError: the card or a part cannot be read, or does not fit.
        """
        card = read_card(path, CascadeCard, member="cascade")
        return cls(card, build_part(card.cheap, path, build), build_part(card.dear, path, build))

    @property
    def name(self) -> str:
        """`cascade:` and six digits of a hash over the card and the parts' names."""
        return f"cascade:{self._digest[:NAME_DIGITS]}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.parts[0].categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`; where the dear part is asked and fails, nothing is known."""
        cheap, dear = self.parts
        scores = cheap.score(conversations)
        unsure = [n for n, found in enumerate(scores) if self._is_unsure(found)]
        if unsure:
            asked = dear.score([conversations[n] for n in unsure])
            for n, found in zip(unsure, asked, strict=True):
                scores[n] = {category: found[category] for category in self.categories}
        return scores

    def _is_unsure(self, scores: Mapping[str, float]) -> bool:
        for category, score in scores.items():
            if not 0.0 <= score <= 1.0:
                raise ClassifierError(f"{self.parts[0].name} scored {category} {score}; wanted a number in [0, 1]")
            band = self.card.bands.get(category, self.card.band)
            if band.low <= score <= band.high:
                return True
        return False
