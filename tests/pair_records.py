"""Made-up pairs and prompts."""

from __future__ import annotations

from typing import Any

from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import PairRecord, Split, user_turn


def pair(text: str = "You are a clown.", **changes: Any) -> PairRecord:
    """A pair whose prompt is `text`."""
    values: dict[str, Any] = {
        "behaviour": "toxicity",
        "messages": user_turn(text),
        "harmful": "You are a turnip.",
        "neutral": "How can I help?",
        "source": "made up",
        "licence": "Apache-2.0",
        "split": Split.TRAIN,
    }
    return PairRecord(**(values | changes))


def prompt(text: str = "You are a clown.", contrast: str | None = None, **changes: Any) -> Prompt:
    """A prompt of one turn."""
    turns = None if contrast is None else user_turn(contrast)
    return Prompt(messages=user_turn(text), contrast_prompt=turns, source="made up", licence="Apache-2.0", **changes)


def draft(
    text: str = "You are a clown.", harmful: str = "You are a turnip.", neutral: str = "How can I help?", **more: Any
) -> PairDraft:
    """A prompt with both replies."""
    return PairDraft(prompt=prompt(text, **more), harmful=harmful, neutral=neutral)
