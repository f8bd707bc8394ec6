"""Moderation: the harm potential of texts, each read as the only turn of a conversation, without a model's reply.

A text is judged or the request fails. Nothing ends as harmless because it could not be judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.errors import ModerationFailedError, NoClassifierError
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.metrics import Metrics

AT_ONCE = 16
"""Texts of one request that wait for the classifier together: the conversations of others get in between."""


class Moderator:
    """Judges texts with the classifier that the gates read."""

    def __init__(self, classifier: HarmPotential | None, metrics: Metrics) -> None:
        self._classifier = classifier
        self._metrics = metrics

    @property
    def classifier(self) -> HarmPotential:
        """What judges.

        Raises:
            NoClassifierError: none is loaded.
        """
        if self._classifier is None:
            raise NoClassifierError(
                "no classifier is loaded here (classifier.member is none); wanted one that can judge texts",
                code="no_classifier",
            )
        return self._classifier

    async def judge(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Calibrated harm potential by category, each in [0, 1], of each text.

        Raises:
            NoClassifierError: none is loaded.
            ModerationFailedError: the classifier failed on one of the texts; the others are given up then.
        """
        classifier = self.classifier
        places = asyncio.Semaphore(AT_ONCE)

        async def one(text: str) -> dict[str, float]:
            async with places:
                return await classifier.score(({"role": "user", "content": text},))

        tasks = [asyncio.ensure_future(one(text)) for text in texts]
        try:
            return await asyncio.gather(*tasks)
        except ClassifierFailedError as failure:
            self._metrics.classifier_failed(failure.reason)
            raise ModerationFailedError(
                f"the classifier {classifier.classifier.name} failed ({failure.reason}), so nothing is known of "
                f"{'this text' if len(texts) == 1 else f'these {len(texts)} texts'}"
            ) from failure
        finally:
            for task in tasks:
                task.cancel()
