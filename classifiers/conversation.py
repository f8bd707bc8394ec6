"""What a classifier reads of a conversation, and how the scores of its turns become one.

The last user turn decides. An earlier user turn, or a system prompt, whose own log-odds of harm are above even adds
to them: `turn_decay` times its log-odds per user turn since then, `system_weight` times for a system prompt; only
the strongest of these counts, and it adds `context_limit` at most. So a provocation one turn ago raises the harm
potential of an unclear turn, fades, and does not make a clearly harmless question harmful; nothing benign that is
added ever lowers it. Replies of the model and tool results are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from classifiers.base import Conversation
from classifiers.errors import ClassifierError

WINDOW_CHARACTERS = 2000
"""Longer turns are read in windows of this length, so that a provocation is not diluted by what surrounds it."""
WINDOW_OVERLAP = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationWeights:
    """How much the parts of a conversation count."""

    turn_decay: float = 0.5
    """Factor on the log-odds of an earlier user turn, per user turn between it and the last one, in [0, 1]."""
    system_weight: float = 0.5
    """Factor on the log-odds of a system prompt, in [0, 1]."""
    context_limit: float = 2.0
    """The most that all that precedes the last user turn adds to its log-odds, at least 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextView:
    """An earlier user turn or a system prompt."""

    text: str
    weight: float
    """Factor on its log-odds, in (0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationView:
    """The texts of a conversation that are scored."""

    last: str
    """The last user turn; a conversation without any has its last system prompt here."""
    context: tuple[ContextView, ...]
    """What precedes it, parts of weight 0 left out."""


def view_conversation(conversation: Conversation, weights: ConversationWeights) -> ConversationView:
    """What to score of a conversation.

    Raises:
        ClassifierError: there is no user turn and no system prompt, or a turn lacks `role` or `content`.
    """
    turns = [_role_and_content(turn) for turn in conversation]
    user = [content for role, content in turns if role == "user"]
    system = [content for role, content in turns if role in ("system", "developer")]
    if not user and not system:
        raise ClassifierError(f"a conversation of {len(turns)} turns without a user turn cannot be classified")
    if not user:
        user, system = [system[-1]], system[:-1]
    weighted = [(content, weights.turn_decay**age) for age, content in enumerate(reversed(user[:-1]), 1)]
    weighted += [(content, weights.system_weight) for content in system]
    return ConversationView(
        last=user[-1], context=tuple(ContextView(text=text, weight=w) for text, w in weighted if w > 0)
    )


def windows(text: str) -> Iterator[str]:
    """`text` itself, or its overlapping windows where it is longer than one."""
    if len(text) <= WINDOW_CHARACTERS:
        yield text
        return
    step = WINDOW_CHARACTERS - WINDOW_OVERLAP
    for start in range(0, len(text) - WINDOW_OVERLAP, step):
        yield text[start : start + WINDOW_CHARACTERS]


def _role_and_content(turn: object) -> tuple[str, str]:
    try:
        role, content = turn["role"], turn["content"]  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise ClassifierError(f"a turn without `role` and `content` cannot be classified: {error}") from error
    if not isinstance(role, str) or not isinstance(content, str):
        raise ClassifierError(f"role and content are {type(role).__name__} and {type(content).__name__}; wanted text")
    return role, content
