"""Harm scores of replies, off the hot path: a sample of finished replies is scored on a thread beside the server.

Nothing here can slow or fail a request: a full queue or a failing scorer is counted and logged, and the reply goes
unscored.

The harm rate is a ratio of two counters, so what decides whether a reply is counted must not depend on what it says.
The sample is drawn before anybody has looked at the reply, from a seeded sequence that nothing but the number of
replies so far moves; a queue that is full drops whatever comes; and a scorer that breaks on one reply costs that
reply its score, not those beside it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from breakers.scoring import HarmScorer, ScoredReply
from server.metrics import HARMFUL, InputHarm, Metrics, Unscored

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 256
"""Replies that wait for a score; the next ones are dropped and counted."""
BATCH_LIMIT = 16
"""Replies scored in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedReply:
    """A reply, with the behaviours that the bundles acting on it edit away."""

    scored: ScoredReply
    applied_behaviours: frozenset[str]
    harm_potential: Mapping[str, float]
    """Of the input, by category; empty where it is not known."""


class OutputScoring:
    """Scores a sample of replies in the background."""

    def __init__(self, scorer: HarmScorer, metrics: Metrics, *, rate: float, seed: int = 0) -> None:
        """Prepare; `start` begins.

        Args:
            scorer: called on a thread, with batches.
            metrics: counts scored and harmful replies.
            rate: share of replies to score, in [0, 1].
            seed: of the sampling: with the same one, the same replies by number are scored.
        """
        self.scorer = scorer
        self._metrics = metrics
        self._rate = rate
        self._random = random.Random(seed)
        self._queue: asyncio.Queue[FinishedReply] = asyncio.Queue(QUEUE_LIMIT)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the background task."""
        self._task = asyncio.create_task(self._work(), name="output-scoring")

    async def stop(self) -> None:
        """Stop it; replies still waiting go unscored."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def offer(self, reply: FinishedReply) -> None:
        """Take a finished reply, if the sample wants it and there is room."""
        if self._random.random() >= self._rate:
            return
        try:
            self._queue.put_nowait(reply)
        except asyncio.QueueFull:
            self._metrics.output_unscored(Unscored.QUEUE_FULL)

    async def settled(self) -> None:
        """Wait until everything taken so far has been scored or counted as unscored."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH_LIMIT and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._score(batch)
            finally:
                for _ in batch:
                    self._queue.task_done()

    async def _score(self, batch: Sequence[FinishedReply]) -> None:
        try:
            scores = await asyncio.to_thread(self._checked_scores, [reply.scored for reply in batch])
        except Exception as error:  # a scorer that fails costs its scores, never the background task
            if len(batch) > 1:
                kind, name = type(error).__name__, self.scorer.name
                logger.warning("the output scorer %s failed on %d replies (%s); one by one", name, len(batch), kind)
                for reply in batch:
                    await self._score([reply])
                return
            logger.exception("the output scorer %s failed on a reply", self.scorer.name)
            self._metrics.output_unscored(Unscored.SCORER_FAILED)
            return
        for reply, by_behaviour in zip(batch, scores, strict=True):
            self._count(reply, by_behaviour)

    def _checked_scores(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        scores = self.scorer.score(replies)
        if len(scores) != len(replies):
            raise ValueError(f"{len(scores)} scores for {len(replies)} replies")
        bad = [by_behaviour for by_behaviour in scores if not all(0.0 <= s <= 1.0 for s in by_behaviour.values())]
        if bad:
            raise ValueError(f"scores are {bad[0]}; wanted numbers in [0, 1]")
        return scores

    def _count(self, reply: FinishedReply, by_behaviour: dict[str, float]) -> None:
        for behaviour, score in by_behaviour.items():
            self._metrics.output_scored(
                behaviour,
                applied=behaviour in reply.applied_behaviours,
                input_harm=InputHarm.of(reply.harm_potential.get(behaviour)),
                harmful=score >= HARMFUL,
            )
