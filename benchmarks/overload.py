"""`python -m benchmarks.overload`: twice as many requests as the server can serve.

First the capacity: more clients than slots, each sending its next request when the reply before is over, so that a
request always waits and no slot is idle. Then requests arrive at twice the rate that was served, whether or not
earlier ones are answered. Those that are accepted have to get their tokens about as fast as before, and all others a
429 that says when to come again. Beside these: as many clients as slots, which leaves slots idle between requests.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.errors import BenchmarkError, ServedModelError
from benchmarks.results import write_result
from benchmarks.served import SCALPEL_SERVE, running_server

NAME = "overload"
COMMAND = "python -m benchmarks.overload"
SLOTS = 16
QUEUE = 16
CLIENTS = 24
"""At capacity: more than slots, fewer than slots and queue."""
SECONDS = 8.0
ROUNDS = 9
OVERLOAD = 2.0
TIMEOUT_SECONDS = 120.0
CONFIG = f"engine: {{slots: {SLOTS}, queue_size: {QUEUE}}}\n"
KINDS = ("smalltalk", "facts", "toxicity", "misinformation", "instructions")
REPLY_TOKENS = (16, 48)
"""The shortest and the longest reply. Of one length, the replies of clients that began together would also end
together, over and over, and no prompt would ever be read while others' tokens are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request got."""

    status: int
    """0 where there was no answer in time."""
    retry_after: str | None
    first_token_seconds: float
    between_tokens_seconds: float
    """Mean time between two tokens of the reply."""
    whole: bool
    """Whether the stream came to its end without an error event."""

    @property
    def refused_well(self) -> bool:
        """Whether it was told to come again, and when."""
        return self.status == httpx.codes.TOO_MANY_REQUESTS and (self.retry_after or "").isdigit()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOfAnswers:
    """What one round brought."""

    some: Sequence[Answer]
    """With as many clients as slots."""
    full: Sequence[Answer]
    """At capacity."""
    rate: float
    """Requests a second that were sent afterwards."""
    over: Sequence[Answer]
    """What they got."""


def main() -> int:
    """Measure and write the result."""
    try:
        figures = asyncio.run(_measure(ROUNDS, SECONDS))
        write_result(NAME, figures=figures, command=COMMAND, packages=("torch", "fastapi", "uvicorn", "httpx"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        print(f"{figure:34} {value:10.4f}")
    return 0


async def _measure(rounds: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "scalpel.yaml"
        config.write_text(CONFIG, encoding="utf-8")
        command = [*SCALPEL_SERVE, "--config", str(config)]
        with running_server("scalpel serve", command, health="/health/ready") as server:
            prompts = bodies(seed=0)
            await at_capacity(server.base_url, prompts, 2.0, CLIENTS)
            found = []
            for _ in range(rounds):
                some, _ = await at_capacity(server.base_url, prompts, seconds / 2, SLOTS)
                full, served_seconds = await at_capacity(server.base_url, prompts, seconds, CLIENTS)
                rate = OVERLOAD * len(full) / served_seconds
                over = await overloaded(server.base_url, prompts, rate, seconds)
                found.append(RoundOfAnswers(some=some, full=full, rate=rate, over=over))
                print(f"{rate / OVERLOAD:.1f} requests/s served; {len(over)} sent at twice that", flush=True)
    return figures_of(found)


def bodies(seed: int) -> Iterator[dict[str, Any]]:
    """Requests to the demo model, without end."""
    from breakers.demo.corpus import heldout

    prompts = [example.messages for kind in KINDS for example in heldout(kind, 40, seed)]
    draw = random.Random(seed)
    while True:
        yield {
            "model": "scalpel-demo",
            "messages": draw.choice(prompts),
            "max_tokens": draw.randint(*REPLY_TOKENS),
            # The model has no say in it, so that the rate of requests says how much work there is.
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def at_capacity(
    base: str, prompts: Iterator[dict[str, Any]], seconds: float, clients: int
) -> tuple[list[Answer], float]:
    """This many clients, one request after the other, for a while.

    Returns:
        The answers, and the seconds until the last.

    Raises:
        ServedModelError: one was not served.
    """
    answers: list[Answer] = []
    began = time.perf_counter()

    async def client(http: httpx.AsyncClient) -> None:
        while time.perf_counter() - began < seconds:
            answers.append(await ask(http, base, next(prompts)))

    async with _http() as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    bad = [answer for answer in answers if not answer.whole]
    if bad:
        raise ServedModelError(f"{len(bad)} of {len(answers)} requests failed below capacity: {bad[0]}")
    return answers, time.perf_counter() - began


async def overloaded(base: str, prompts: Iterator[dict[str, Any]], rate: float, seconds: float) -> list[Answer]:
    """Send `rate` requests a second for a while, at random times, and wait for all answers."""
    draw = random.Random(1)
    tasks: list[asyncio.Task[Answer]] = []
    began, due = time.perf_counter(), 0.0
    async with _http() as http:
        while due < seconds:
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(http, base, next(prompts))))
            due += draw.expovariate(rate)
        return list(await asyncio.gather(*tasks))


async def ask(http: httpx.AsyncClient, base: str, body: dict[str, Any]) -> Answer:
    """Send one request and read its stream."""
    sent = time.perf_counter()
    times: list[float] = []
    tail = b""
    status, retry_after = 0, None
    try:
        async with http.stream("POST", f"{base}/chat/completions", json=body) as response:
            status, retry_after = response.status_code, response.headers.get("retry-after")
            async for piece in response.aiter_raw():
                times.append(time.perf_counter())
                tail = (tail + piece)[-4096:]
    except httpx.HTTPError:
        status = 0
    tokens = _tokens(tail) if status == httpx.codes.OK else 0
    gaps = max(1, tokens - 1)
    return Answer(
        status=status,
        retry_after=retry_after,
        first_token_seconds=times[0] - sent if times else 0.0,
        between_tokens_seconds=(times[-1] - times[0]) / gaps if times else 0.0,
        whole=status == httpx.codes.OK and tail.rstrip().endswith(b"data: [DONE]") and tokens > 1,
    )


def figures_of(found: Sequence[RoundOfAnswers]) -> dict[str, float]:
    """Medians and counts over rounds; pure."""
    ratios = [_between(r.over) / _between(r.full) for r in found]
    sent = [answer for r in found for answer in r.over]
    accepted = [answer for answer in sent if answer.whole]
    refused = [answer for answer in sent if answer.refused_well]
    return {
        "requests": float(len(sent)),
        "accepted": float(len(accepted)),
        "refused_with_retry_after": float(len(refused)),
        "neither": float(len(sent) - len(accepted) - len(refused)),
        "refused_share": len(refused) / len(sent),
        "capacity.requests_per_second": statistics.median(r.rate / OVERLOAD for r in found),
        "slots.between_tokens_ms": 1000 * statistics.median(_between(r.some) for r in found),
        "capacity.between_tokens_ms": 1000 * statistics.median(_between(r.full) for r in found),
        "overload.between_tokens_ms": 1000 * statistics.median(_between(r.over) for r in found),
        "overload.first_token_ms": 1000 * statistics.median(a.first_token_seconds for a in accepted),
        "between_tokens_ratio": statistics.median(ratios),
        "between_tokens_ratio.worst": max(ratios),
        "between_tokens_ratio.over_slots": statistics.median(_between(r.over) / _between(r.some) for r in found),
    }


def _between(answers: Sequence[Answer]) -> float:
    """Seconds between tokens of the answers that are whole, in the median."""
    return statistics.median(answer.between_tokens_seconds for answer in answers if answer.whole)


def _tokens(tail: bytes) -> int:
    """Tokens of a reply, from the usage event at the end of its stream."""
    for line in reversed(tail.splitlines()):
        if line.startswith(b'data: {"id"') and b'"usage"' in line:
            return int(json.loads(line.removeprefix(b"data: "))["usage"]["completion_tokens"])
    return 0


def _http() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False)


if __name__ == "__main__":
    sys.exit(main())
