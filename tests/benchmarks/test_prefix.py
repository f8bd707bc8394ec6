"""The prefix benchmark's arithmetic, and one round of it against real servers on the demo model."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.prefix import PLAIN, QUESTIONS, REUSING, Timed, ask, figures_of
from benchmarks.served import served


def timed(milliseconds: float, text: str = "a", cached: int = 0) -> Timed:
    return Timed(milliseconds=milliseconds, text=text, prompt_tokens=2010, cached_tokens=cached)


def test_figures_by_hand() -> None:
    replies = {
        REUSING: [[timed(100), timed(10, cached=1984)], [timed(200), timed(60)], [timed(100), timed(20)]],
        PLAIN: [[timed(100), timed(100)], [timed(100), timed(90, "b")], [timed(100), timed(100)]],
    }
    figures = figures_of(replies)
    assert figures["reusing.second_over_first"] == pytest.approx(0.2)
    assert figures["reusing.second_over_first.worst"] == pytest.approx(0.3)
    assert figures["reusing.first.ttft_ms"] == 100
    assert figures["plain.second.ttft_ms"] == 100
    assert figures["same_replies"] == pytest.approx(5 / 6)
    assert figures["replies"] == 6


@pytest.mark.slow
def test_a_stream_says_how_much_of_its_prompt_was_reused() -> None:
    system = "You are a careful and friendly demo. " * 20
    with served() as base, httpx.Client(timeout=60.0, trust_env=False) as client:
        first, second = (ask(client, base, "scalpel-demo@off", system, question) for question in QUESTIONS)
    assert first.cached_tokens == 0
    assert second.cached_tokens >= 64
    assert second.cached_tokens < second.prompt_tokens
    assert second.text
