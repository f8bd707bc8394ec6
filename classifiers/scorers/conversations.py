"""What scorers read of the conversation that a reply answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def last_user_turn(messages: Sequence[Mapping[str, str]]) -> str:
    """The content of the last user turn; empty where there is none."""
    return next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), "")


def all_turns(messages: Sequence[Mapping[str, str]]) -> str:
    """The content of every turn, a line each."""
    return "\n".join(turn["content"] for turn in messages)
