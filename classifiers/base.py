"""The contract of input classifiers: P_c(x), the calibrated harm potential of a conversation per category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

Conversation = Sequence[Mapping[str, str]]
"""`role` and `content` of each turn, the last one usually the user's."""


@runtime_checkable
class HarmClassifier(Protocol):
    """P_c(x) for each category c."""

    @property
    def name(self) -> str:
        """Member and fit, e.g. `lexical:1f3a9c`; a bundle names the one its gate was fitted on."""
        ...

    @property
    def categories(self) -> tuple[str, ...]: ...

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """One dict a conversation: category -> calibrated probability in [0, 1].

        Raises:
            ClassifierError: a score is not a number in [0, 1]; callers then use full strength.
        """
        ...
