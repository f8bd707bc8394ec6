"""Server-sent events as bytes, and the fast way to make the many that differ in their text only."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic_core import to_json

from server.api.errors import ErrorReply

DONE = b"data: [DONE]\n\n"

PLACE = "\u0000text\u0000"
"""Stands where text will be; no model name or request id holds it."""


def event(body: BaseModel) -> bytes:
    """One event."""
    return f"data: {body.model_dump_json()}\n\n".encode()


def error_event(failure: ErrorReply) -> bytes:
    """A failure in mid-stream, in OpenAI's shape."""
    return f"data: {json.dumps(failure.body())}\n\n".encode()


@dataclass(frozen=True, slots=True)
class TextEvent:
    """What stands before and behind the text in a text event.

    These events differ in their text only, and serialising a model for each would take longer than choosing its
    token.
    """

    before: bytes
    after: bytes

    @classmethod
    def around(cls, made: bytes) -> TextEvent:
        """From an event that was made with `PLACE` for its text."""
        before, _, after = made.partition(to_json(PLACE))
        return cls(before, after)

    def holding(self, text: str) -> bytes:
        """The event with this text."""
        return self.before + to_json(text) + self.after
