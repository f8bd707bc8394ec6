"""The arithmetic of the overload benchmark, and a short run of it."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.overload import Answer, RoundOfAnswers, _measure, bodies, figures_of


def answer(between: float, *, status: int = 200, retry: str | None = None, whole: bool = True) -> Answer:
    return Answer(
        status=status, retry_after=retry, first_token_seconds=0.5, between_tokens_seconds=between, whole=whole
    )


def test_figures() -> None:
    refused = answer(0.0, status=429, retry="2", whole=False)
    silent = answer(0.0, status=429, whole=False)
    late = answer(0.0, status=0, whole=False)
    figures = figures_of(
        [
            RoundOfAnswers(
                some=[answer(0.01)],
                full=[answer(0.01), answer(0.02), answer(0.03)],
                rate=40.0,
                over=[answer(0.03), refused, silent],
            ),
            RoundOfAnswers(some=[answer(0.01)], full=[answer(0.02)], rate=60.0, over=[answer(0.02), refused, late]),
        ]
    )
    assert figures["requests"] == 6
    assert figures["accepted"] == 2
    assert figures["refused_with_retry_after"] == 2
    assert figures["neither"] == 2
    assert figures["between_tokens_ratio"] == pytest.approx(1.25)
    assert figures["between_tokens_ratio.worst"] == pytest.approx(1.5)
    assert figures["between_tokens_ratio.over_slots"] == pytest.approx(2.5)
    assert figures["capacity.requests_per_second"] == 25


def test_requests_repeat() -> None:
    first, second = bodies(3), bodies(3)
    assert [next(first) for _ in range(5)] == [next(second) for _ in range(5)]


@pytest.mark.slow
def test_what_is_not_accepted_is_refused_with_a_time_to_come_again() -> None:
    figures = asyncio.run(_measure(rounds=1, seconds=4.0))
    assert figures["neither"] == 0
    assert figures["refused_with_retry_after"] > 0
    assert figures["accepted"] > 0
