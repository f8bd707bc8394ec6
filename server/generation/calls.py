"""Replies with calls, read while they come: what is text, which function is called, and with which arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from server.engines.grammars import CALL_ARGUMENTS, CALL_END, CALL_NAME, CALL_TRIGGER


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text that is not part of a call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A function's name; `number` counts the calls of a reply from 0."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsPart:
    """A piece of a call's arguments, as JSON."""

    number: int
    text: str


CallEvent: TypeAlias = TextPart | CallBegun | ArgumentsPart


class _Place(Enum):
    TEXT = auto()
    NAME = auto()
    ARGUMENTS = auto()
    BEHIND = auto()


class CallReader:
    """One reply of a `CallGrammar`, which is what makes its form certain."""

    def __init__(self) -> None:
        self._place = _Place.TEXT
        self._held = ""
        self._calls = 0

    @property
    def complete(self) -> bool:
        """Whether there were calls, and the last one is whole."""
        return self._place is _Place.BEHIND

    def feed(self, text: str) -> Iterator[CallEvent]:
        """What new text makes certain; the beginning of a mark is held back."""
        self._held += text
        moved = True
        while moved:
            moved = False
            for event in self._step():
                moved = True
                if event is not None:
                    yield event

    def finish(self) -> Iterator[CallEvent]:
        """What was held back, at the end of the reply. A call that has no whole name is none."""
        held, self._held = self._held, ""
        if held and self._place is _Place.TEXT:
            yield TextPart(held)
        if held and self._place is _Place.ARGUMENTS:
            yield ArgumentsPart(self._calls - 1, held)

    def _step(self) -> Iterator[CallEvent | None]:
        """Events up to the next mark, None where there is only a mark; nothing where more text is needed."""
        if self._place is _Place.TEXT:
            text, found = self._until(CALL_TRIGGER)
            if found:
                self._place = _Place.NAME
            if text or found:
                yield TextPart(text) if text else None
        elif self._place is _Place.NAME:
            name, mark, rest = self._held.partition(CALL_ARGUMENTS)
            if mark:
                self._held, self._place = rest, _Place.ARGUMENTS
                self._calls += 1
                yield CallBegun(self._calls - 1, name.removeprefix(CALL_NAME))
        elif self._place is _Place.ARGUMENTS:
            text, found = self._until(CALL_END)
            if found:
                self._place = _Place.BEHIND
            if text or found:
                yield ArgumentsPart(self._calls - 1, text) if text else None
        else:
            _, mark, rest = self._held.partition(CALL_TRIGGER)
            if mark:
                self._held, self._place = rest, _Place.NAME
                yield None

    def _until(self, mark: str) -> tuple[str, bool]:
        """Take what is certain to stand before `mark`, and the mark where it is there."""
        text, found, rest = self._held.partition(mark)
        if found:
            self._held = rest
            return text, True
        keep = next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:n])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False
