"""One labelled request, in the one label space of all sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from classifiers.base import Conversation

REQUEST_CATEGORIES = (
    "toxicity",
    "hate",
    "violence",
    "self_harm",
    "sexual",
    "bias",
    "misinformation",
    "jailbreak",
)
"""The label space. `violence` is violence and crime; `jailbreak` is a text built to get round a model's refusals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request, whether complying with it would be harmful, and what is known of the way."""

    text: str
    """The last user turn: what is fitted on, deduplicated and split by."""
    harmful: bool
    """Whether complying would be harmful, whatever the category."""
    labels: Mapping[str, bool]
    """Category of `REQUEST_CATEGORIES` -> whether it applies; categories that are not named are unknown."""
    source: str
    """Name of the data set."""
    family: str
    """Sets that quote each other, or were made the same way, share a family: they are left out together."""
    group: str
    """The source prompt; rows of one group never part between splits. Unique within the source."""
    licence: str
    trains: bool
    """Whether it may train a model that ships; other rows measure only: their licence, or their purpose, says so."""
    hard: bool = False
    """A benign request in dangerous words, which a classifier of words takes for a harmful one."""
    before: Conversation = ()
    """The turns before the last one."""

    @property
    def conversation(self) -> Conversation:
        """The whole conversation."""
        return [*self.before, {"role": "user", "content": self.text}]
