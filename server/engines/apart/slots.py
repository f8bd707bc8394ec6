"""Which of its requests the parent knows to wait, and which to run."""

from __future__ import annotations

from collections.abc import Iterable

from server.engines.base import EngineOverloadedError


class SlotLedger:
    """Counts as the child does, without asking it.

    A request waits from its submission on, and runs from when the child says that it has a slot until the child says
    that the slot is free again, whoever waits for it. The event loop's thread writes, any may read.
    """

    def __init__(self, *, slots: int, queue_size: int) -> None:
        self._limit = slots + queue_size
        self._waiting: set[int] = set()
        self._running: set[int] = set()

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests with a slot."""
        return len(self._running)

    def submit(self, number: int) -> None:
        """A request waits.

        Raises:
            EngineOverloadedError: as many wait and run as the engine takes.
        """
        if self.waiting + self.running >= self._limit:
            raise EngineOverloadedError(
                f"{self.running} requests run and {self.waiting} wait; the engine takes {self._limit}"
            )
        self._waiting.add(number)

    def note(self, started: Iterable[int], freed: Iterable[int]) -> None:
        """What the child says. A request may have come and gone between two messages."""
        for number in started:
            self._waiting.discard(number)
            self._running.add(number)
        for number in freed:
            self._running.discard(number)

    def drop(self, number: int) -> None:
        """A request waits no more: it was refused, or nobody waits for it."""
        self._waiting.discard(number)

    def clear(self) -> None:
        """Nothing runs."""
        self._waiting.clear()
        self._running.clear()
