"""Harm potential in the request's way: scored off the event loop, within a time limit, and never a reason to hang.

What fails, stalls or returns something that is no probability ends as a `ClassifierFailedError`; the planner then
uses full strength. A stalled classifier costs one request its time limit; those behind it fail at once until the
stalled call returns.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from dataclasses import dataclass

from classifiers.base import Conversation, HarmClassifier
from server.metrics import ClassifierFailure

logger = logging.getLogger(__name__)


class ClassifierFailedError(Exception):
    """One conversation has no harm potential."""

    def __init__(self, reason: ClassifierFailure) -> None:
        super().__init__(f"the classifier failed: {reason.value}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Job:
    conversation: Conversation
    future: asyncio.Future[dict[str, float]]
    loop: asyncio.AbstractEventLoop


class HarmPotential:
    """One classifier on one thread of its own."""

    def __init__(self, classifier: HarmClassifier, *, timeout_seconds: float) -> None:
        self.classifier = classifier
        self.categories = frozenset(classifier.categories)
        self._timeout = timeout_seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._busy_since: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; a daemon, so that a stalled classifier cannot keep the process alive."""
        self._thread = threading.Thread(target=self._work, name="harm-potential", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after what it is doing."""
        self._jobs.put(None)

    async def score(self, conversation: Conversation) -> dict[str, float]:
        """Calibrated harm potential by category, each in [0, 1].

        Raises:
            ClassifierFailedError: it raised, took longer than the limit, or returned something else.
        """
        if self._stalled():
            raise ClassifierFailedError(ClassifierFailure.TIMEOUT)
        loop = asyncio.get_running_loop()
        job = _Job(conversation, loop.create_future(), loop)
        self._jobs.put(job)
        try:
            return await asyncio.wait_for(job.future, self._timeout)
        except TimeoutError:
            logger.error("the classifier took longer than %s s", self._timeout)
            raise ClassifierFailedError(ClassifierFailure.TIMEOUT) from None

    def _stalled(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._timeout

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.future.cancelled():
                continue
            self._busy_since = time.monotonic()
            result = self._score(job.conversation)
            self._busy_since = None
            _deliver(job, result)

    def _score(self, conversation: Conversation) -> dict[str, float] | ClassifierFailedError:
        try:
            (scores,) = self.classifier.score([conversation])
            return self._checked(scores)
        except ClassifierFailedError as error:
            return error
        except Exception:  # whatever a classifier raises must end as full strength, not as an unprotected reply
            logger.exception("the classifier %s failed", self.classifier.name)
            return ClassifierFailedError(ClassifierFailure.ERROR)

    def _checked(self, scores: dict[str, float]) -> dict[str, float]:
        checked = {category: float(scores.get(category, math.nan)) for category in self.categories}
        bad = {category: value for category, value in checked.items() if not 0.0 <= value <= 1.0}
        if bad:
            logger.error("the classifier %s returned %s; wanted numbers in [0, 1]", self.classifier.name, bad)
            raise ClassifierFailedError(ClassifierFailure.INVALID)
        return dict(sorted(checked.items()))


def _deliver(job: _Job, result: dict[str, float] | ClassifierFailedError) -> None:
    def settle() -> None:
        if job.future.done():
            return
        if isinstance(result, ClassifierFailedError):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

    try:
        job.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        logger.debug("a harm potential came after its event loop had closed")
