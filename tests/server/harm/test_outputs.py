"""Output scoring: counted by category and by whether a bundle acted, and never in anybody's way."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from serving.stubs import StubScorer

from breakers.scoring import ScoredReply
from server.harm.outputs import QUEUE_LIMIT, FinishedReply, OutputScoring
from server.metrics import Metrics


def reply(text: str, *behaviours: str, potential: float | None = 0.9) -> FinishedReply:
    scored = ScoredReply(messages=[{"role": "user", "content": "hi"}], reply=text)
    potentials = {} if potential is None else {"toxicity": potential}
    return FinishedReply(scored=scored, applied_behaviours=frozenset(behaviours), harm_potential=potentials)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def running(scorer: StubScorer, metrics: Metrics, rate: float = 1.0) -> AsyncIterator[OutputScoring]:
    outputs = OutputScoring(scorer, metrics, rate=rate)
    await outputs.start()
    try:
        yield outputs
    finally:
        await outputs.stop()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics([], [], ["toxicity"])


async def test_harm_is_counted_with_and_without_intervention(metrics: Metrics) -> None:
    async with running(StubScorer(), metrics) as outputs:
        for finished in (reply("lazy potato"), reply("hello"), reply("fine", "toxicity"), reply("ok", "gender_bias")):
            outputs.offer(finished)
        await outputs.settled()

    def by_applied(name: str) -> list[float | None]:
        labels = {"category": "toxicity", "input": "harmful"}
        return [value(metrics, name, **labels, applied=applied) for applied in ("true", "false")]

    assert by_applied("scalpel_outputs_scored_total") == [1, 3]
    assert by_applied("scalpel_harmful_outputs_total") == [0, 1]


@pytest.mark.parametrize("scorer", [StubScorer(failure=RuntimeError("no")), StubScorer(score_of_all=math.nan)])
async def test_a_failing_scorer_costs_its_scores_only(metrics: Metrics, scorer: StubScorer) -> None:
    async with running(scorer, metrics) as outputs:
        outputs.offer(reply("lazy potato"))
        await outputs.settled()
        scorer.failure, scorer.score_of_all = None, None
        outputs.offer(reply("lazy potato"))
        await outputs.settled()
    assert value(metrics, "scalpel_outputs_unscored_total", reason="scorer_failed") == 1
    assert value(metrics, "scalpel_outputs_scored_total", category="toxicity", applied="false", input="harmful") == 1


async def test_a_full_queue_drops_and_counts(metrics: Metrics) -> None:
    outputs = OutputScoring(StubScorer(), metrics, rate=1.0)
    for _ in range(QUEUE_LIMIT + 3):
        outputs.offer(reply("hello"))
    assert value(metrics, "scalpel_outputs_unscored_total", reason="queue_full") == 3


@pytest.mark.parametrize(("rate", "low", "high"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
async def test_the_rate_samples(metrics: Metrics, rate: float, low: int, high: int) -> None:
    scorer = StubScorer()
    async with running(scorer, metrics, rate) as outputs:
        for _ in range(200):
            outputs.offer(reply("hello"))
        await outputs.settled()
    assert low <= len(scorer.seen) <= high


async def test_harm_rates_are_kept_apart_by_the_inputs_harm_potential(metrics: Metrics) -> None:
    async with running(StubScorer(), metrics) as outputs:
        for potential in (0.9, 0.5, 0.49, None):
            outputs.offer(reply("lazy potato", potential=potential))
        await outputs.settled()
    name, labels = "scalpel_harmful_outputs_total", {"category": "toxicity", "applied": "false"}
    counted = {kind: value(metrics, name, **labels, input=kind) for kind in ("harmful", "harmless", "unknown")}
    assert counted == {"harmful": 2, "harmless": 1, "unknown": 1}


async def seen_by_number(texts: Sequence[str], rate: float) -> list[int]:
    """Which of the replies, by number, a fresh server scores."""
    scorer = StubScorer()
    async with running(scorer, Metrics([], [], ["toxicity"]), rate) as outputs:
        for number, text in enumerate(texts):
            outputs.offer(reply(f"{number} {text}"))
            # As replies come: a few at a time, so that none is dropped.
            if number % 100 == 99:
                await outputs.settled()
        await outputs.settled()
    return [int(scored.reply.split()[0]) for scored in scorer.seen]


async def test_the_sample_does_not_depend_on_what_replies_say() -> None:
    harmful = await seen_by_number(["potato"] * 400, 0.3)
    assert harmful == await seen_by_number(["hello"] * 400, 0.3)
    assert harmful == sorted(harmful)
    assert 80 < len(harmful) < 160


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
async def test_the_ratio_of_the_counters_is_the_harm_rate(metrics: Metrics, rate: float) -> None:
    """Within four standard errors of a sample of that size, for a harm rate of a quarter."""
    draw = random.Random(11)
    texts = ["potato" if draw.random() < 0.25 else "hello" for _ in range(4000)]
    true_rate = texts.count("potato") / len(texts)
    async with running(StubScorer(), metrics, rate) as outputs:
        for number, text in enumerate(texts):
            outputs.offer(reply(text))
            if number % 100 == 99:
                await outputs.settled()
    labels = {"category": "toxicity", "applied": "false", "input": "harmful"}
    scored = value(metrics, "scalpel_outputs_scored_total", **labels)
    harmful = value(metrics, "scalpel_harmful_outputs_total", **labels)
    assert scored == pytest.approx(rate * len(texts), abs=4 * math.sqrt(len(texts) * rate * (1 - rate)) + 1e-9)
    error = math.sqrt(true_rate * (1 - true_rate) / scored * (1 - rate))
    assert harmful / scored == pytest.approx(true_rate, abs=4 * error + 1e-9)


class Choking(StubScorer):
    """Cannot read harmful replies that shout."""

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        if any("POTATO" in scored.reply for scored in replies):
            raise ValueError("too loud")
        return super().score(replies)


async def test_a_reply_that_breaks_the_scorer_costs_no_other_its_score(metrics: Metrics) -> None:
    scorer = Choking()
    outputs = OutputScoring(scorer, metrics, rate=1.0)
    for text in ("hello", "POTATO", "potato", "fine"):
        outputs.offer(reply(text))
    # All four wait when it starts, so they are one batch.
    await outputs.start()
    await outputs.settled()
    await outputs.stop()
    labels = {"category": "toxicity", "applied": "false", "input": "harmful"}
    assert value(metrics, "scalpel_outputs_scored_total", **labels) == 3
    assert value(metrics, "scalpel_harmful_outputs_total", **labels) == 1
    assert value(metrics, "scalpel_outputs_unscored_total", reason="scorer_failed") == 1
