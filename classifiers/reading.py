"""What the members that read whole conversations read: what `lexical` reads, and the results of tools apart.

A tool's result is text that somebody else wrote, and may carry what the user did not ask for. It is read like a
system prompt: it adds to the last user turn's log-odds, by a weight of its own, and never lowers them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from classifiers.base import Conversation
from classifiers.conversation import ContextView, ConversationView, ConversationWeights, view_conversation

_TOOLS = ("tool", "function")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingWeights:
    """How much the parts of a conversation count."""

    turns: ConversationWeights
    """Of user turns and system prompts, and the limit of all beside the last user turn."""
    tool_weight: float = 0.0
    """Factor on the log-odds of a tool's result, in [0, 1]."""


def view_with_tools(conversation: Conversation, weights: ReadingWeights) -> ConversationView:
    """What to score of a conversation.

    Raises:
        ClassifierError: there is no user turn and no system prompt, or a turn lacks `role` or `content`.
    """
    view = view_conversation(conversation, weights.turns)
    if weights.tool_weight <= 0:
        return view
    found = [ContextView(text=t["content"], weight=weights.tool_weight) for t in conversation if t["role"] in _TOOLS]
    return replace(view, context=(*view.context, *found))
