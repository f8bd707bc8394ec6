"""Server-sent events as bytes: cut where one ends, never held back once it is whole, never rewritten.

What the gateway adds, it adds as text: bytes of vLLM's stay as they are, whatever they say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from server.gateway.errors import UpstreamFailedError

LONGEST_EVENT = 16 * 1024 * 1024
"""Bytes. Log-probabilities of every prompt token stand in one."""

_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_END = 4
_DONE = re.compile(rb"data: ?\[DONE\]\s*")
_OBJECT = re.compile(rb"data: ?(?=\{)")
_ERROR = re.compile(rb'data: ?\{\s*"error"')


class EventCutter:
    """Cuts a stream of bytes into events."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The events that are whole now, each with the empty line at its end.

        Raises:
            UpstreamFailedError: one is longer than any event is.
        """
        start, looked = 0, max(0, len(self._held) - _LONGEST_END)
        self._held += piece
        while found := _END.search(self._held, looked):
            yield bytes(self._held[start : found.end()])
            start = looked = found.end()
        del self._held[:start]
        if len(self._held) > LONGEST_EVENT:
            raise UpstreamFailedError(
                f"the upstream sent more than {LONGEST_EVENT} bytes and ended no event; wanted server-sent events"
            )


def is_done(event: bytes) -> bool:
    """Whether it says that the stream is whole."""
    return _DONE.fullmatch(event) is not None


def is_object(event: bytes) -> bool:
    """Whether it carries a JSON object, as all but comments and the last do."""
    return _OBJECT.match(event) is not None


def is_error(event: bytes) -> bool:
    """Whether it says that the request failed."""
    return _ERROR.match(event) is not None


def may_hold_usage(event: bytes) -> bool:
    """Whether a field `usage` may be in it. Within JSON's texts a quotation mark is not followed by a colon so."""
    return b'"usage":' in event


def object_in(event: bytes) -> dict[str, Any] | None:
    """The object in an event; None where there is none."""
    found = _OBJECT.match(event)
    if found is None:
        return None
    try:
        value = json.loads(event[found.end() :])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def with_field(document: bytes, name: str, value: bytes) -> bytes | None:
    """A JSON object, or an event that carries one, with one more field at its end; None where there is no object.

    Args:
        document: ends with the object, white space aside.
        name: of the field.
        value: JSON.
    """
    end = document.rfind(b"}")
    if end < 0 or document[end + 1 :].strip():
        return None
    comma = b"" if document[:end].rstrip().endswith(b"{") else b","
    return document[:end] + comma + json.dumps(name).encode() + b":" + value + document[end:]
