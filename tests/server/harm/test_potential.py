"""Whatever a classifier does, and whoever shares its calls, a request gets harm potentials or a failure, in time."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from serving.stubs import StubClassifier

from classifiers.base import Conversation
from classifiers.errors import ClassifierError
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.metrics import ClassifierFailure

TURNS = [{"role": "user", "content": "show me toxicity"}]


@asynccontextmanager
async def running(
    classifier: StubClassifier, timeout_seconds: float = 30.0, **limits: int
) -> AsyncIterator[HarmPotential]:
    potential = HarmPotential(classifier, timeout_seconds=timeout_seconds, **limits)
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


@pytest.mark.parametrize(
    "error", [ClassifierError("no"), RuntimeError("no"), MemoryError(), SystemExit(1), asyncio.CancelledError()]
)
async def test_an_exception_is_a_failure_and_the_next_request_works(error: BaseException) -> None:
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


def turns(text: str) -> Conversation:
    return [{"role": "user", "content": text}]


class Recording(StubClassifier):
    """Holds its first call until it is released; says what came in each call, and breaks on command."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.entered, self.released = threading.Event(), threading.Event()

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        texts = [conversation[-1]["content"] for conversation in conversations]
        self.batches.append(texts)
        self.entered.set()
        assert self.released.wait(30)
        if any("poison" in text for text in texts):
            raise RuntimeError("cannot read this")
        scores = super().score(conversations)
        for text, by_category in zip(texts, scores, strict=True):
            if "nan" in text:
                by_category["toxicity"] = math.nan
        return scores[:-1] if "short" in texts and len(texts) > 1 else scores


async def scored_together(
    classifier: Recording, texts: Sequence[str], **limits: int
) -> dict[str, dict[str, float] | ClassifierFailure]:
    """What each text gets when all of them wait behind one that is being scored."""
    async with running(classifier, **limits) as potential:
        first = asyncio.create_task(potential.score(turns("first")))
        await asyncio.to_thread(classifier.entered.wait, 30)
        tasks = [asyncio.create_task(potential.score(turns(text))) for text in texts]
        await asyncio.sleep(0)
        classifier.released.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
    found = {}
    for text, result in zip(("first", *texts), results, strict=True):
        if isinstance(result, BaseException):
            assert isinstance(result, ClassifierFailedError)
            found[text] = result.reason
        else:
            found[text] = result
    return found


CALM = {"gender_bias": 0.02, "toxicity": 0.02}


async def test_all_that_wait_are_scored_in_one_call_and_get_their_own_scores() -> None:
    classifier = Recording()
    found = await scored_together(classifier, ["a", "toxicity", "b", "gender_bias"])
    assert classifier.batches == [["first"], ["a", "toxicity", "b", "gender_bias"]]
    assert found["toxicity"] == {"gender_bias": 0.02, "toxicity": 0.95}
    assert found["gender_bias"] == {"gender_bias": 0.95, "toxicity": 0.02}
    assert found["a"] == found["b"] == found["first"] == CALM


async def test_a_call_has_a_limit() -> None:
    classifier = Recording()
    texts = [str(n) for n in range(8)]
    found = await scored_together(classifier, texts, batch_limit=3)
    assert classifier.batches == [["first"], texts[:3], texts[3:6], texts[6:]]
    assert all(found[text] == CALM for text in texts)


async def test_a_poisoned_input_costs_only_its_own_score() -> None:
    classifier = Recording()
    found = await scored_together(classifier, ["a", "poison", "toxicity"])
    assert classifier.batches == [["first"], ["a", "poison", "toxicity"], ["a"], ["poison"], ["toxicity"]]
    assert found["poison"] is ClassifierFailure.ERROR
    assert found["a"] == CALM
    assert found["toxicity"]["toxicity"] == 0.95


async def test_a_nan_costs_only_its_own_input() -> None:
    classifier = Recording()
    found = await scored_together(classifier, ["a", "nan", "toxicity"])
    assert len(classifier.batches) == 2
    assert found["nan"] is ClassifierFailure.INVALID
    assert found["a"] == CALM
    assert found["toxicity"]["toxicity"] == 0.95


async def test_a_call_that_returns_too_few_scores_is_made_one_by_one() -> None:
    classifier = Recording()
    found = await scored_together(classifier, ["toxicity", "short", "a"])
    assert found["toxicity"]["toxicity"] == 0.95
    assert found["short"] == found["a"] == CALM


async def test_a_classifier_that_always_fails_fails_everybody() -> None:
    classifier = Recording()
    found = await scored_together(classifier, ["poison 1", "poison 2"])
    assert found["poison 1"] is found["poison 2"] is ClassifierFailure.ERROR


async def test_those_in_a_stalled_call_fail_in_time_and_are_not_scored_again() -> None:
    classifier = Recording()
    async with running(classifier, timeout_seconds=0.1) as potential:
        tasks = [asyncio.create_task(potential.score(turns(text))) for text in ("a", "b", "c")]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r.reason for r in results] == [ClassifierFailure.TIMEOUT] * 3
        assert await failure_of(potential) is ClassifierFailure.TIMEOUT
        calls = len(classifier.batches)
        classifier.released.set()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await potential.score(turns("d")) == CALM
                    break
                except ClassifierFailedError:
                    await asyncio.sleep(0.01)
    # Those that gave up were taken out of the queue, unscored.
    assert not {"b", "c"} & {text for batch in classifier.batches[calls:] for text in batch}


async def test_too_many_that_wait_fail_at_once() -> None:
    classifier = Recording()
    found = await scored_together(classifier, ["a", "b", "c"], queue_limit=2)
    assert found["a"] == found["b"] == CALM
    assert found["c"] is ClassifierFailure.QUEUE_FULL


@pytest.mark.parametrize("scores", [[None], ["toxic"], [{"toxicity": "very", "gender_bias": 0.0}]])
async def test_what_is_no_score_at_all_is_a_failure(scores: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = StubClassifier()
    monkeypatch.setattr(StubClassifier, "score", lambda _self, _conversations: scores)
    async with running(classifier) as potential:
        assert await failure_of(potential) is ClassifierFailure.INVALID


async def test_whoever_stopped_waiting_is_not_scored() -> None:
    classifier = Recording()
    async with running(classifier) as potential:
        first = asyncio.create_task(potential.score(turns("first")))
        await asyncio.to_thread(classifier.entered.wait, 30)
        gone, stays = (asyncio.create_task(potential.score(turns(text))) for text in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        classifier.released.set()
        assert await first == await stays == CALM
    assert classifier.batches == [["first"], ["stays"]]
