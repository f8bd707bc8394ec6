"""The shipped general members with their `readings` on or off; a text that two of them share is judged once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.errors import BenchmarkError
from classifiers.base import Conversation, HarmClassifier
from classifiers.embedding import EmbeddingClassifier
from classifiers.ensemble import EnsembleClassifier
from classifiers.lexical_requests import RequestsLexicalClassifier


class Remembering:
    """`HarmClassifier` that asks another one about each conversation once."""

    def __init__(self, asked: HarmClassifier) -> None:
        self.asked = asked
        self._known: dict[str, dict[str, float]] = {}

    @property
    def name(self) -> str:
        return self.asked.name

    @property
    def categories(self) -> tuple[str, ...]:
        return self.asked.categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`."""
        new = {repr(found): found for found in conversations if repr(found) not in self._known}
        if new:
            self._known |= dict(zip(new, self.asked.score(list(new.values())), strict=True))
        return [self._known[repr(found)] for found in conversations]


def reading(ensemble: EnsembleClassifier, *, disguised: bool) -> Mapping[str, HarmClassifier]:
    """Member -> classifier: the parts of the ensemble, and the ensemble of them.

    Args:
        ensemble: the shipped one, whose parts ship as members of their own.
        disguised: whether disguised texts are read as what they say.
    """
    parts = {part.name.partition(":")[0]: Remembering(_switched(part, disguised)) for part in ensemble.parts}
    return {**parts, "ensemble": EnsembleClassifier(ensemble.card, tuple(parts.values()))}


def check_shipped(ensemble: EnsembleClassifier) -> None:
    """Whether what ships reads disguised texts, so that the figures with `readings` on are those of what ships.

    Raises:
        BenchmarkError: a part does not.
    """
    for part in ensemble.parts:
        if isinstance(part, EmbeddingClassifier) and not part.card.readings:
            raise BenchmarkError(f"{part.name} ships without readings; wanted a card with `readings`: true")


def _switched(part: HarmClassifier, disguised: bool) -> HarmClassifier:
    if isinstance(part, RequestsLexicalClassifier):
        return RequestsLexicalClassifier(part.ngrams, readings=disguised)
    if isinstance(part, EmbeddingClassifier):
        card = part.card.model_copy(update={"readings": disguised})
        return EmbeddingClassifier(card, part.tensors, part.encoder)
    raise BenchmarkError(f"a part of the ensemble is {part.name}; wanted lexical-requests or an embedding one")
