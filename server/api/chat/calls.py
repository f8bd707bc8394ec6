"""Calls in OpenAI's shape: in whole messages, and as deltas of a stream."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from server.api.chat.answers import (
    AssistantMessage,
    CalledFunction,
    CallingMessage,
    ChoiceFinish,
    Delta,
    FunctionDelta,
    ToolCall,
    ToolCallDelta,
)
from server.engines.base import FinishReason
from server.generation.calls import ArgumentsPart, CallBegun, CallEvent, CallReader, TextPart


def finish_of(reason: FinishReason, *, calls: bool) -> ChoiceFinish:
    """Why a reply ended: a whole call at the end of one that ended by itself is the reason."""
    return "tool_calls" if calls and reason is FinishReason.STOP else reason


@dataclass(frozen=True, slots=True)
class CalledMessage:
    """A whole reply that may have calls."""

    message: AssistantMessage
    complete: bool
    """Whether it ends with a whole call."""

    @classmethod
    def of(cls, text: str) -> CalledMessage:
        """From all of its text."""
        reader = CallReader()
        content, names, arguments = "", [], []
        for event in chain(reader.feed(text), reader.finish()):
            if isinstance(event, TextPart):
                content += event.text
            elif isinstance(event, CallBegun):
                names.append(event.name)
                arguments.append("")
            else:
                arguments[event.number] += event.text
        calls = tuple(
            ToolCall(id=_new_id(), function=CalledFunction(name=name, arguments=written))
            for name, written in zip(names, arguments, strict=True)
        )
        message = CallingMessage(content=content or None, tool_calls=calls) if calls else None
        return cls(message or AssistantMessage(content=content), reader.complete)

    def finish(self, reason: FinishReason) -> ChoiceFinish:
        """Why it ended."""
        return finish_of(reason, calls=self.complete)


class CallDeltas:
    """The deltas of one reply that may have calls: a call's name and id first, then its arguments in pieces."""

    def __init__(self) -> None:
        self._reader = CallReader()

    @property
    def complete(self) -> bool:
        """Whether the reply so far ends with a whole call."""
        return self._reader.complete

    def of(self, text: str) -> Iterator[Delta]:
        """What new text adds."""
        return _deltas(self._reader.feed(text))

    def finish(self) -> Iterator[Delta]:
        """What is left at the end."""
        return _deltas(self._reader.finish())


def _deltas(events: Iterable[CallEvent]) -> Iterator[Delta]:
    for event in events:
        if isinstance(event, TextPart):
            yield Delta(content=event.text)
        elif isinstance(event, ArgumentsPart):
            yield _call(ToolCallDelta(index=event.number, function=FunctionDelta(arguments=event.text)))
        else:
            begun = FunctionDelta(name=event.name, arguments="")
            yield _call(ToolCallDelta(index=event.number, id=_new_id(), type="function", function=begun))


def _call(delta: ToolCallDelta) -> Delta:
    return Delta(tool_calls=(delta,))


def _new_id() -> str:
    return f"call_{secrets.token_hex(12)}"
