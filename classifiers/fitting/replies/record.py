"""A labelled reply: what scorers are fitted and measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from breakers.scoring import ScoredReply
from classifiers.base import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRow:
    """A reply or a statement, and what is known of it."""

    reply: str
    labels: Mapping[str, bool]
    """Behaviour -> whether the reply shows it. Behaviours that are not named are unknown."""
    source: str
    messages: Conversation = ()
    """What it answers; empty for a statement by itself."""
    group: str = ""
    """Rows of one group are not divided by a split; empty for a row by itself, which its text then splits."""
    subgroup: str = ""
    """What figures are also given by: an identity term, a target group, an attacked model; empty for none."""
    row: str = ""
    """Where the source has it, for labels that are kept beside the source."""

    @property
    def scored(self) -> ScoredReply:
        """As scorers take it."""
        return ScoredReply(messages=self.messages, reply=self.reply)


def user_turn(text: str) -> Conversation:
    """A conversation of one user turn."""
    return ({"role": "user", "content": text},)
