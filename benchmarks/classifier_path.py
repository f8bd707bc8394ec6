"""`python -m benchmarks.classifier_path`: what classifying an input adds to a request, at 50 requests a second.

Two servers with a stub engine on loopback sockets, with the lexical classifier in the path and without one, get the
same prompts at the same seeded Poisson arrivals, in turn. `path_ms` is how long the server says each input was in the
classifier's path, waiting for other inputs and the change of threads included; `client_ms` is what the client sees of
whole requests. Prompts are the demo corpus' held-out ones and, with SCALPEL_DATA set, those of public data sets.
Checked first: the server's harm potentials are those of the classifier called directly.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.classifier_path_server import LEXICAL, MODEL, NONE
from benchmarks.errors import BenchmarkError, ServedModelError
from benchmarks.results import write_result
from benchmarks.served import running_server
from classifiers import build_classifier
from classifiers.base import Conversation
from classifiers.fitting.data import PUBLIC_ROWS, read_public
from classifiers.fitting.demo_prompts import read_split
from classifiers.fitting.prompts import Split

NAME = "classifier_path"
COMMAND = "SCALPEL_DATA=... python -m benchmarks.classifier_path"
RATE = 50.0
"""Requests a second."""
ROUNDS = 4
ROUND_REQUESTS = 500
WARM_UP = 100
CHECKED = 50
ROWS_OF_EACH = 170
"""Prompts of each kind of the demo corpus, and of each public set."""
ARMS = (LEXICAL, NONE)


@dataclass(slots=True)
class Measured:
    """One kind of prompts."""

    path: list[float] = field(default_factory=list)
    """Milliseconds in the classifier's path."""
    client: dict[str, list[float]] = field(default_factory=lambda: {arm: [] for arm in ARMS})
    """Arm -> milliseconds of whole requests."""
    seconds: float = 0.0
    """From the first arrival to the last, of all rounds of an arm."""


def main() -> int:
    """Measure and write the result."""
    try:
        prompts = all_prompts()
        with (
            running_server(LEXICAL, server_command(LEXICAL), health="/health/ready") as lexical,
            running_server(NONE, server_command(NONE), health="/health/ready") as none,
        ):
            urls = {LEXICAL: lexical.base_url, NONE: none.base_url}
            measured = asyncio.run(measure(urls, prompts))
        figures = {
            f"{part}.{figure}": value
            for part, found in measured.items()
            for figure, value in figures_of(found, prompts[part]).items()
        }
        result = write_result(NAME, figures=figures, command=COMMAND, packages=("numpy", "fastapi", "uvicorn"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in result.figures.items():
        bound = result.targets.get(figure)
        print(f"{figure:34} {value:10.4f}" + (f"   wanted {bound[0]} {bound[1]:g}" if bound else ""))
    return 0


def server_command(classifier: str) -> list[str]:
    """Starts one contender."""
    return [sys.executable, "-m", "benchmarks.classifier_path_server", "--classifier", classifier]


def all_prompts() -> dict[str, list[Conversation]]:
    """Part -> prompts in a seeded order: `demo`, and `public` where the data is."""
    found = {"demo": [p.conversation for p in read_split(Split.HELDOUT, ROWS_OF_EACH, seed=0)]}
    if root := os.environ.get("SCALPEL_DATA"):
        rows = dict.fromkeys(PUBLIC_ROWS, ROWS_OF_EACH)
        found["public"] = [p.conversation for p in read_public(Path(root), rows, seed=0)]
    for conversations in found.values():
        random.Random(0).shuffle(conversations)
    return found


async def measure(urls: Mapping[str, str], prompts: Mapping[str, Sequence[Conversation]]) -> dict[str, Measured]:
    """All parts, the arms in turn.

    Raises:
        ServedModelError: a request failed, or the server's harm potentials are not the classifier's.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=30.0, trust_env=False, limits=limits) as client:
        measured = {}
        for part, conversations in prompts.items():
            await check(client, urls[LEXICAL], conversations[:CHECKED])
            for url in urls.values():
                await load(client, url, conversations[:WARM_UP], seed=0)
            await client.get(f"{urls[LEXICAL]}/measured")
            measured[part] = await measure_part(client, urls, conversations)
        return measured


async def measure_part(
    client: httpx.AsyncClient, urls: Mapping[str, str], conversations: Sequence[Conversation]
) -> Measured:
    """The rounds of one part."""
    found = Measured()
    for number in range(ROUNDS):
        begin = number * ROUND_REQUESTS
        asked = [conversations[(begin + i) % len(conversations)] for i in range(ROUND_REQUESTS)]
        for arm in ARMS:
            began = time.perf_counter()
            found.client[arm] += await load(client, urls[arm], asked, seed=number)
            found.seconds += (time.perf_counter() - began) / len(ARMS)
        path = (await client.get(f"{urls[LEXICAL]}/measured")).json()
        if len(path) != ROUND_REQUESTS:
            raise ServedModelError(f"{len(path)} of {ROUND_REQUESTS} inputs were classified")
        found.path += [1000 * seconds for seconds in path]
    return found


async def check(client: httpx.AsyncClient, url: str, conversations: Sequence[Conversation]) -> None:
    """The server says what the classifier says.

    Raises:
        ServedModelError: it does not.
    """
    wanted = build_classifier(LEXICAL).score(conversations)
    for conversation, scores in zip(conversations, wanted, strict=True):
        body = await ask(client, url, conversation)
        found = body["scalpel"]["harm_potential"]
        if found != {name: round(score, 4) for name, score in sorted(scores.items())}:
            raise ServedModelError(f"the server's harm potentials are {found}; the classifier's {scores}")


async def load(client: httpx.AsyncClient, url: str, conversations: Sequence[Conversation], seed: int) -> list[float]:
    """Send each at its arrival, whatever became of those before; milliseconds of each."""
    draw = random.Random(seed)
    begin, at, arrivals = time.perf_counter(), 0.0, []
    for _ in conversations:
        at += draw.expovariate(RATE)
        arrivals.append(at)

    async def timed(conversation: Conversation, arrival: float) -> float:
        await asyncio.sleep(max(0.0, begin + arrival - time.perf_counter()))
        sent = time.perf_counter()
        await ask(client, url, conversation)
        return 1000 * (time.perf_counter() - sent)

    return list(await asyncio.gather(*map(timed, conversations, arrivals)))


async def ask(client: httpx.AsyncClient, url: str, conversation: Conversation) -> dict[str, dict[str, float]]:
    """One request.

    Raises:
        ServedModelError: it failed.
    """
    body = {"model": MODEL, "messages": [dict(turn) for turn in conversation], "max_tokens": 1}
    response = await client.post(f"{url}/chat/completions", json=body)
    if response.status_code != httpx.codes.OK:
        raise ServedModelError(f"status {response.status_code}: {response.text[:500]}")
    return response.json()


def figures_of(found: Measured, conversations: Sequence[Conversation]) -> dict[str, float]:
    """Percentiles, by part; pure."""
    lengths = [sum(len(turn["content"]) for turn in conversation) for conversation in conversations]
    figures = {
        "requests": float(len(found.path)),
        "requests_per_second": len(found.path) / found.seconds,
        "path_ms.p50": _percentile(found.path, 50),
        "path_ms.p99": _percentile(found.path, 99),
        "path_ms.max": max(found.path),
        "characters.p50": _percentile(lengths, 50),
        "characters.p99": _percentile(lengths, 99),
    }
    for arm, milliseconds in found.client.items():
        figures |= {f"client_ms.{arm}.p{p}": _percentile(milliseconds, p) for p in (50, 99)}
    return figures


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))


if __name__ == "__main__":
    sys.exit(main())
