"""The body of a moderation response.

Categories are the classifier's own. OpenAI's fixed names stand beside them with null, so that clients written for
them find the names; null is neither flagged nor not flagged: nobody looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from server.metrics import HARMFUL

OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""What OpenAI's clients have fields for."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModerationResult(_Answer):
    """What is known of one text."""

    flagged: bool
    """Whether any category of the classifier's is."""
    categories: dict[str, bool | None]
    """Whether the harm potential is at least the threshold from which the server counts inputs as harmful."""
    category_scores: dict[str, float | None]
    """Calibrated harm potential: the probability that the unmodified model's reply to the text shows the category."""
    category_applied_input_types: dict[str, list[Literal["text"]]]
    """What was read for a category: the text, or nothing."""

    @classmethod
    def of(cls, potentials: Mapping[str, float]) -> ModerationResult:
        """From the harm potential by category."""
        judged = {name: score >= HARMFUL for name, score in potentials.items()}
        unjudged = dict.fromkeys(name for name in OPENAI_CATEGORIES if name not in potentials)
        read: dict[str, list[Literal["text"]]] = {name: ["text"] for name in judged}
        return cls(
            flagged=any(judged.values()),
            categories=judged | unjudged,
            category_scores={**potentials, **unjudged},
            category_applied_input_types=read | {name: [] for name in unjudged},
        )


class ModerationResponse(_Answer):
    """A whole response."""

    id: str
    """`modr-` and the request's id."""
    model: str
    """Name of the classifier, fit included."""
    results: list[ModerationResult]
    """One for each text, in order."""
