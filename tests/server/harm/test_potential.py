"""Whatever a classifier does, a request gets harm potentials or a failure, in time."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from serving.stubs import StubClassifier

from classifiers.errors import ClassifierError
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.metrics import ClassifierFailure

TURNS = [{"role": "user", "content": "show me toxicity"}]


@asynccontextmanager
async def running(classifier: StubClassifier, timeout_seconds: float = 30.0) -> AsyncIterator[HarmPotential]:
    potential = HarmPotential(classifier, timeout_seconds=timeout_seconds)
    potential.start()
    try:
        yield potential
    finally:
        potential.stop()


async def failure_of(potential: HarmPotential) -> ClassifierFailure:
    with pytest.raises(ClassifierFailedError) as failed:
        await potential.score(TURNS)
    return failed.value.reason


async def test_scores_come_through_sorted() -> None:
    async with running(StubClassifier()) as potential:
        assert list((await potential.score(TURNS)).items()) == [("gender_bias", 0.02), ("toxicity", 0.95)]


@pytest.mark.parametrize("error", [ClassifierError("no"), RuntimeError("no"), MemoryError()])
async def test_an_exception_is_a_failure_and_the_next_request_works(error: Exception) -> None:
    classifier = StubClassifier(failure=error)
    async with running(classifier) as potential:
        assert await failure_of(potential) is ClassifierFailure.ERROR
        classifier.failure = None
        assert (await potential.score(TURNS))["toxicity"] == 0.95


@pytest.mark.parametrize(
    "scores",
    [
        {"toxicity": math.nan, "gender_bias": 0.1},
        {"toxicity": 1.5, "gender_bias": 0.1},
        {"toxicity": -0.1, "gender_bias": 0.1},
        {"toxicity": math.inf, "gender_bias": 0.1},
        {"toxicity": 0.5},
        {},
    ],
)
async def test_what_is_no_probability_is_a_failure(scores: Mapping[str, float]) -> None:
    async with running(StubClassifier(scores=scores)) as potential:
        assert await failure_of(potential) is ClassifierFailure.INVALID


class Stalled(StubClassifier):
    """Hangs until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def score(self, conversations: object) -> list[dict[str, float]]:
        self.released.wait(30)
        return super().score(conversations)


async def test_a_stall_is_a_failure_and_those_behind_it_do_not_wait() -> None:
    classifier = Stalled()
    async with running(classifier, timeout_seconds=0.05) as potential:
        assert await failure_of(potential) is ClassifierFailure.TIMEOUT
        # The thread is still busy: no later request is put behind it.
        for _ in range(3):
            assert await failure_of(potential) is ClassifierFailure.TIMEOUT
        assert classifier.calls == 0
        classifier.released.set()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert (await potential.score(TURNS))["toxicity"] == 0.95
                    break
                except ClassifierFailedError:
                    await asyncio.sleep(0.01)
