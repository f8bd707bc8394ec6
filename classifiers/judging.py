"""From log-odds of texts to harm potentials of conversations: what every member that reads texts does alike.

All texts of a call are judged together, each once; a text with several readings gets the highest log-odds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from classifiers.base import Conversation
from classifiers.conversation import ConversationView
from classifiers.errors import ClassifierError
from classifiers.reading import ReadingWeights, view_with_tools
from classifiers.text import readings

Judge = Callable[[Sequence[str]], Float64[np.ndarray, "text category"]]
"""Calibrated log-odds of each text, by category."""


def judge_conversations(
    conversations: Sequence[Conversation],
    judge: Judge,
    *,
    weights: ReadingWeights,
    categories: tuple[str, ...],
    name: str,
    with_readings: bool,
) -> list[dict[str, float]]:
    """What `HarmClassifier.score` returns.

    Args:
        conversations: what to score.
        judge: judges texts; called once, with texts that differ.
        weights: how much the parts of a conversation count.
        categories: of the columns that `judge` returns.
        name: of the member, for messages.
        with_readings: whether disguised texts are read as what they say.

    Raises:
        ClassifierError: a conversation cannot be read, or a score is no probability.
    """
    views = [view_with_tools(conversation, weights) for conversation in conversations]
    texts = list(dict.fromkeys(text for view in views for text in (view.last, *(part.text for part in view.context))))
    odds = _judged(texts, judge, with_readings=with_readings)
    return [checked_scores(_combined(view, odds, weights), categories, name) for view in views]


def checked_scores(
    log_odds: Float64[np.ndarray, " category"], categories: tuple[str, ...], name: str
) -> dict[str, float]:
    """Probabilities by category.

    Raises:
        ClassifierError: one is not a number in [0, 1].
    """
    scores = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    if not np.isfinite(scores).all() or (scores < 0).any() or (scores > 1).any():
        raise ClassifierError(f"{name} scored {scores.tolist()}; wanted numbers in [0, 1]")
    return dict(zip(categories, scores.tolist(), strict=True))


def _judged(
    texts: Sequence[str], judge: Judge, *, with_readings: bool
) -> dict[str, Float64[np.ndarray, " category"]]:
    """The log-odds of each text."""
    if not texts:
        return {}
    ways = {text: readings(_whole(text)) if with_readings else [_whole(text)] for text in texts}
    read = list(dict.fromkeys(way for found in ways.values() for way in found))
    odds = dict(zip(read, judge(read), strict=True))
    # np.max and not max: a nan among the readings stays one.
    return {text: np.max([odds[way] for way in found], axis=0) for text, found in ways.items()}


def _whole(text: str) -> str:
    """`text` with a question mark for each half of a surrogate pair, which no encoder can read."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _combined(
    view: ConversationView, odds: dict[str, Float64[np.ndarray, " category"]], weights: ReadingWeights
) -> Float64[np.ndarray, " category"]:
    last = odds[view.last]
    shift = np.zeros_like(last)
    for part in view.context:
        shift = np.maximum(shift, part.weight * odds[part.text])
    combined: Float64[np.ndarray, " category"] = last + np.minimum(shift, weights.turns.context_limit)
    return combined
