"""The benchmark of the classifier's path: its arithmetic, and one short round against real servers."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from benchmarks import classifier_path
from benchmarks.classifier_path import LEXICAL, NONE, Measured, check, figures_of, measure, server_command
from benchmarks.errors import ServedModelError
from benchmarks.served import running_server
from classifiers.base import Conversation


def turns(text: str) -> Conversation:
    return [{"role": "user", "content": text}]


def test_figures_by_hand() -> None:
    found = Measured(path=[1.0] * 99 + [101.0], client={LEXICAL: [2.0, 4.0], NONE: [1.0, 1.0]}, seconds=4.0)
    figures = figures_of(found, [turns("abcd"), [*turns("ab"), *turns("abcdefgh")]])
    assert figures["requests"] == 100
    assert figures["requests_per_second"] == 25
    assert (figures["path_ms.p50"], figures["path_ms.max"]) == (1, 101)
    assert figures["path_ms.p99"] == pytest.approx(2.0)
    assert (figures["client_ms.lexical.p50"], figures["client_ms.none.p99"]) == (3, 1)
    assert figures["characters.p50"] == 7


@pytest.mark.slow
def test_a_short_round(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RATE", 200.0), ("ROUNDS", 1), ("ROUND_REQUESTS", 40), ("WARM_UP", 5)):
        monkeypatch.setattr(classifier_path, name, value)
    prompts = {"demo": [turns(f"Tell me about honey, number {n}") for n in range(50)]}
    with (
        running_server(LEXICAL, server_command(LEXICAL), health="/health/ready") as lexical,
        running_server(NONE, server_command(NONE), health="/health/ready") as none,
    ):
        urls = {LEXICAL: lexical.base_url, NONE: none.base_url}
        found = asyncio.run(measure(urls, prompts))["demo"]

        async def unlike() -> None:
            async with httpx.AsyncClient() as client:
                await check(client, urls[NONE], prompts["demo"])

        with pytest.raises(ServedModelError, match="harm potentials are"):
            asyncio.run(unlike())
    assert len(found.path) == len(found.client[LEXICAL]) == len(found.client[NONE]) == 40
    assert min(found.path) > 0
