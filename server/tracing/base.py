"""What the server asks of a tracer, and the one that does nothing.

Spans name what was done and how much of it; never a prompt, a reply or a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

Value = str | int | float | bool


class Span(Protocol):
    """Something that took time."""

    def set(self, name: str, value: Value) -> None:
        """Note an attribute."""
        ...

    def end(self, error: BaseException | None = None) -> None:
        """It is over, with this error or well."""
        ...


class Tracing(Protocol):
    """Makes spans."""

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The span of an HTTP request: current within the block, and part of the caller's trace if it sent one."""
        ...

    def start(self, name: str) -> Span:
        """A span below the current one. It is not made current, so another task may end it."""
        ...

    def shutdown(self) -> None:
        """Send what is left."""
        ...


class _NoSpan:
    def set(self, name: str, value: Value) -> None:
        """Nothing is kept."""

    def end(self, error: BaseException | None = None) -> None:
        """Nothing is sent."""


class _NoTracing:
    def __init__(self) -> None:
        self._span = _NoSpan()

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """No span."""
        return nullcontext(self._span)

    def start(self, name: str) -> Span:
        """No span."""
        return self._span

    def shutdown(self) -> None:
        """Nothing is left."""


NO_TRACING: Tracing = _NoTracing()


@contextmanager
def spanned(tracing: Tracing, name: str) -> Iterator[Span]:
    """A span around the block, which ends with the block's error."""
    span = tracing.start(name)
    try:
        yield span
    except BaseException as error:
        span.end(error)
        raise
    span.end()
