"""Texts are judged together, but never so many that a conversation has to wait for all of them."""

from __future__ import annotations

import asyncio

import pytest
from serving.live import stub_state

from classifiers.base import Conversation
from server.errors import ModerationFailedError, NoClassifierError
from server.harm.moderation import AT_ONCE, Moderator
from server.harm.potential import ClassifierFailedError
from server.metrics import ClassifierFailure, Metrics


class Watched:
    """Stands where `HarmPotential` does: says how many texts wait at once, and fails on one that says so."""

    classifier = None

    def __init__(self) -> None:
        self.waiting = self.most = self.given_up = 0
        self.seen: list[Conversation] = []
        self.fails = asyncio.Event()

    async def score(self, conversation: Conversation) -> dict[str, float]:
        self.seen.append(conversation)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            if conversation[0]["content"] == "fail":
                self.fails.set()
                raise ClassifierFailedError(ClassifierFailure.ERROR)
            await (asyncio.sleep(60) if conversation[0]["content"] == "hang" else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.waiting -= 1
        return {"toxicity": float(conversation[0]["content"])}


class Named:
    name = "watched:1"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(Watched, "classifier", Named())
    return Watched()


@pytest.fixture
def metrics() -> Metrics:
    return stub_state().metrics


async def test_texts_are_judged_in_order_and_a_few_at_once(watched: Watched, metrics: Metrics) -> None:
    texts = [str(n / 100) for n in range(100)]
    judged = await Moderator(watched, metrics).judge(texts)
    assert [potentials["toxicity"] for potentials in judged] == [n / 100 for n in range(100)]
    assert watched.most == AT_ONCE


async def test_a_text_is_the_only_turn_of_a_conversation(watched: Watched, metrics: Metrics) -> None:
    await Moderator(watched, metrics).judge(["0.5"])
    assert watched.seen == [({"role": "user", "content": "0.5"},)]


async def test_the_first_failure_fails_all_and_the_others_are_given_up(watched: Watched, metrics: Metrics) -> None:
    with pytest.raises(
        ModerationFailedError, match=r"watched:1 failed \(error\), so nothing is known of these 4 texts"
    ):
        await Moderator(watched, metrics).judge(["0.1", "hang", "fail", "hang"])
    await asyncio.sleep(0)
    assert (watched.waiting, watched.given_up) == (0, 2)
    value = metrics.registry.get_sample_value
    assert value("scalpel_classifier_failures_total", {"reason": "error"}) == 1


async def test_a_caller_that_goes_away_gives_all_up(watched: Watched, metrics: Metrics) -> None:
    task = asyncio.ensure_future(Moderator(watched, metrics).judge(["hang"] * 40))
    await asyncio.sleep(0.01)
    assert watched.waiting == AT_ONCE
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert watched.waiting == 0


async def test_without_a_classifier_nothing_is_judged(metrics: Metrics) -> None:
    with pytest.raises(NoClassifierError):
        await Moderator(None, metrics).judge(["x"])
