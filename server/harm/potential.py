"""Harm potential in the request's way: scored off the event loop, in batches, within a time limit.

What fails, stalls or returns something that is no probability ends as a `ClassifierFailedError`; the planner then
uses full strength. All conversations that wait are scored in one call. A call that raises says nothing about any one
of them, so each is then scored alone: an input that breaks the classifier costs its own score and nobody else's. A
stalled classifier costs those in the call their time limit; those behind it fail at once until the call returns.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from classifiers.base import Conversation, HarmClassifier
from server.metrics import ClassifierFailure

logger = logging.getLogger(__name__)

BATCH_LIMIT = 16
"""Conversations of one call."""
QUEUE_LIMIT = 1024
"""Conversations that wait; more fail at once, which is full strength for them and no weaker protection for others."""


class ClassifierFailedError(Exception):
    """One conversation has no harm potential."""

    def __init__(self, reason: ClassifierFailure) -> None:
        super().__init__(f"the classifier failed: {reason.value}")
        self.reason = reason


Score: TypeAlias = dict[str, float] | ClassifierFailedError


@dataclass(frozen=True, slots=True)
class _Job:
    conversation: Conversation
    future: asyncio.Future[dict[str, float]]
    loop: asyncio.AbstractEventLoop


class HarmPotential:
    """One classifier on one thread of its own."""

    def __init__(
        self,
        classifier: HarmClassifier,
        *,
        timeout_seconds: float,
        batch_limit: int = BATCH_LIMIT,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            classifier: called on the thread.
            timeout_seconds: after which a conversation has failed.
            batch_limit: conversations of one call.
            queue_limit: conversations that may wait.
        """
        self.classifier = classifier
        self.categories = frozenset(classifier.categories)
        self._timeout = timeout_seconds
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._busy_since: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; a daemon, so that a stalled classifier cannot keep the process alive."""
        self._thread = threading.Thread(target=self._work, name="harm-potential", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after what waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    async def score(self, conversation: Conversation) -> dict[str, float]:
        """Calibrated harm potential by category, each in [0, 1].

        Raises:
            ClassifierFailedError: it raised, took longer than the limit, or returned something else; or too many
                others wait.
        """
        if self._stalled():
            raise ClassifierFailedError(ClassifierFailure.TIMEOUT)
        loop = asyncio.get_running_loop()
        job = _Job(conversation, loop.create_future(), loop)
        self._submit(job)
        try:
            return await asyncio.wait_for(job.future, self._timeout)
        except TimeoutError:
            logger.error("the classifier took longer than %s s", self._timeout)
            raise ClassifierFailedError(ClassifierFailure.TIMEOUT) from None

    def _submit(self, job: _Job) -> None:
        with self._changed:
            if len(self._waiting) >= self._queue_limit:
                raise ClassifierFailedError(ClassifierFailure.QUEUE_FULL)
            self._waiting.append(job)
            self._changed.notify_all()

    def _stalled(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._timeout

    def _work(self) -> None:
        while batch := self._take():
            for job, score in zip(batch, self._scores(batch), strict=True):
                _deliver(job, score)

    def _take(self) -> list[_Job]:
        """Those that have waited longest and are still waited for; none once the thread shall end."""
        with self._changed:
            while True:
                batch: list[_Job] = []
                while self._waiting and len(batch) < self._batch_limit:
                    job = self._waiting.popleft()
                    if not job.future.done():
                        batch.append(job)
                if batch or self._stopped:
                    return batch
                self._changed.wait()

    def _scores(self, batch: Sequence[_Job]) -> Sequence[Score]:
        """A score or a failure for each."""
        try:
            return self._call([job.conversation for job in batch])
        except BaseException as error:  # whatever a classifier raises, an exit too, must end as full strength
            if len(batch) == 1:
                logger.exception("the classifier %s failed", self.classifier.name)
                return [ClassifierFailedError(ClassifierFailure.ERROR)]
            logger.warning(
                "the classifier %s failed on %d inputs at once (%s); each is scored alone",
                self.classifier.name,
                len(batch),
                type(error).__name__,
            )
        return [self._alone(job) for job in batch]

    def _alone(self, job: _Job) -> Score:
        # A request that has run out of time meanwhile has its full strength already.
        if job.future.done():
            return ClassifierFailedError(ClassifierFailure.TIMEOUT)
        return self._scores([job])[0]

    def _call(self, conversations: Sequence[Conversation]) -> list[Score]:
        self._busy_since = time.monotonic()
        try:
            found = self.classifier.score(conversations)
        finally:
            self._busy_since = None
        if len(found) != len(conversations):
            raise ValueError(f"{len(found)} scores for {len(conversations)} conversations")
        return [self._checked(scores) for scores in found]

    def _checked(self, scores: Mapping[str, float]) -> Score:
        try:
            checked = {category: float(scores.get(category, math.nan)) for category in self.categories}
        except (TypeError, ValueError, AttributeError):
            logger.exception("the classifier %s returned no scores", self.classifier.name)
            return ClassifierFailedError(ClassifierFailure.INVALID)
        bad = {category: value for category, value in checked.items() if not 0.0 <= value <= 1.0}
        if bad:
            logger.error("the classifier %s returned %s; wanted numbers in [0, 1]", self.classifier.name, bad)
            return ClassifierFailedError(ClassifierFailure.INVALID)
        return dict(sorted(checked.items()))


def _deliver(job: _Job, result: Score) -> None:
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
