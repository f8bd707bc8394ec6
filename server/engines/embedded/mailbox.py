"""The way in: a bounded queue of requests from any thread to the engine's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from server.engines.base import EngineOverloadedError, EngineUnavailableError
from server.engines.embedded.sequence import RunningRequest

Result = TypeVar("Result")


class Job(Generic[Result]):
    """Work for the engine's thread, and the future of what comes of it."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self.future: Future[Result] = Future()
        self._work = work

    def run(self) -> None:
        """Do it, unless nobody waits any more. Whatever it raises is the future's."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._work())
        except Exception as error:  # noqa: BLE001 - whoever waits for the future has to hear of it
            self.future.set_exception(error)

    def refuse(self, reason: str) -> None:
        """It will not be done: the engine does not run."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(EngineUnavailableError(reason))


class Mailbox:
    """Requests that wait for a slot. Every method may be called from any thread."""

    def __init__(self, *, slots: int, queue_size: int) -> None:
        self._limit = slots + queue_size
        self._changed = threading.Condition()
        self._waiting: deque[RunningRequest] = deque()
        self._jobs: deque[Job[Any]] = deque()
        self._running = 0
        self._closed: str | None = "the engine has not been started"

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests with a slot, as last told."""
        return self._running

    def open(self) -> None:
        """Begin to accept requests."""
        with self._changed:
            self._closed = None

    def close(self, reason: str) -> None:
        """Accept no more; those accepted stay. The first reason given is the one that callers hear."""
        with self._changed:
            self._closed = self._closed or reason
            self._changed.notify_all()

    def submit(self, request: RunningRequest) -> None:
        """Queue a request.

        Raises:
            EngineUnavailableError: the engine does not run.
            EngineOverloadedError: the queue is full.
        """
        with self._changed:
            if self._closed is not None:
                raise EngineUnavailableError(self._closed)
            if self._running + len(self._waiting) >= self._limit:
                raise EngineOverloadedError(
                    f"{self._running} requests run and {len(self._waiting)} wait; the engine takes {self._limit}"
                )
            self._waiting.append(request)
            self._changed.notify_all()

    def cancel(self, request: RunningRequest) -> None:
        """Drop a request: at once if it waits, before the next step if it runs."""
        with self._changed:
            request.cancelled = True
            if request in self._waiting:
                self._waiting.remove(request)
            self._changed.notify_all()

    def take(self) -> RunningRequest | None:
        """The request that has waited longest; it counts as running from now on."""
        with self._changed:
            if not self._waiting:
                return None
            self._running += 1
            return self._waiting.popleft()

    def call(self, work: Callable[[], Result]) -> Future[Result]:
        """Have the engine's thread run `work` between two steps.

        Returns:
            What it returns or raises; `EngineUnavailableError` where the engine does not run, or stops before it.
        """
        job = Job(work)
        with self._changed:
            if self._closed is None:
                self._jobs.append(job)
                self._changed.notify_all()
            else:
                job.refuse(self._closed)
        return job.future

    def take_job(self) -> Job[Any] | None:
        """The job that has waited longest."""
        with self._changed:
            return self._jobs.popleft() if self._jobs else None

    def released(self, count: int = 1) -> None:
        """Note that `count` running requests ended."""
        with self._changed:
            self._running -= count

    def wait(self) -> bool:
        """Block while there is nothing to do.

        Returns:
            Whether there is work, a job included: False once the mailbox is closed and nothing waits or runs.
        """
        with self._changed:
            while not self._waiting and not self._running and not self._jobs:
                if self._closed is not None:
                    return False
                self._changed.wait()
            return True

    def drain(self) -> list[RunningRequest]:
        """Take out everything that waits."""
        with self._changed:
            drained = list(self._waiting)
            self._waiting.clear()
            return drained
