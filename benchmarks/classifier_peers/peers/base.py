"""What all peers that judge one text share: the last user turn is judged, and 0.5 is the peer's own decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

from classifiers.assessment.scored import HARM
from classifiers.base import Conversation
from classifiers.conversation import ConversationWeights, view_conversation

_WEIGHTS = ConversationWeights()


class Peer(ABC):
    """`HarmClassifier` of the category `harm` over someone else's judge of a text."""

    name: str
    """Package and version."""

    @property
    @final
    def categories(self) -> tuple[str, ...]:
        return (HARM,)

    @abstractmethod
    def judge(self, text: str) -> float:
        """A number in [0, 1], 0.5 and above where the package's documentation says that it has found something."""

    @final
    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`; no peer knows of conversations.

        Raises:
            ClassifierError: a conversation has no user turn and no system prompt.
        """
        return [{HARM: self.judge(view_conversation(found, _WEIGHTS).last)} for found in conversations]
