"""Output scoring: counted by category and by whether a bundle acted, and never in anybody's way."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
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
