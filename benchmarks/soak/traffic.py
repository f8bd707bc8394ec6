"""Clients that ask, listen, and sometimes hang up."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

KINDS = ("smalltalk", "facts", "toxicity", "gender_bias", "misinformation", "mixed")
STEPS = 16
"""Strengths are multiples of one over this."""
DISCONNECTS = 0.15
"""Share of requests whose client hangs up before the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, and what it has to say of its plan."""

    body: dict[str, Any]
    fixed: Mapping[str, float]
    """Strengths that it asked for by number, or 0 for `false`."""
    hangs_up_after: int | None
    """Pieces of the stream after which the client hangs up; None for not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request with its whole answer."""

    asked: Asked
    text: str
    applied: Mapping[str, float]
    """Strength by bundle, zeros included, as reported."""
    plan: str
    """Digest, as reported."""


@dataclass(slots=True)
class Log:
    """What all clients saw."""

    answered: list[Answered] = field(default_factory=list)
    hung_up: int = 0
    failures: list[str] = field(default_factory=list)
    """Anything but a whole answer, where the client listened to the end."""


class RequestMaker:
    """Requests, without end; the seed says which."""

    def __init__(self, bundles: Sequence[str], seed: int) -> None:
        """`bundles` may be switched in any request."""
        from breakers.demo.corpus import heldout

        self._prompts = [example.messages for kind in KINDS for example in heldout(kind, 60, seed)]
        self._bundles = sorted(bundles)
        self._draw = random.Random(seed)

    def next(self) -> Asked:
        """The next request."""
        draw = self._draw
        toggles = {name: self._toggle() for name in self._bundles if draw.random() < 0.4}
        body: dict[str, Any] = {
            "model": draw.choice(["scalpel-demo", "scalpel-demo", "scalpel-demo@off", "scalpel-demo@strict"]),
            "messages": [dict(message) for message in draw.choice(self._prompts)],
            "max_tokens": draw.randint(4, 40),
            "temperature": draw.choice([0.0, 0.8, 1.2]),
            "seed": draw.randrange(2**31),
            "stream": True,
            "scalpel": {"breakers": toggles},
        }
        fixed = {name: float(toggle) for name, toggle in toggles.items() if toggle is not True}
        hangs_up = draw.randint(0, 12) if draw.random() < DISCONNECTS else None
        return Asked(body=body, fixed=fixed, hangs_up_after=hangs_up)

    def _toggle(self) -> bool | float:
        return self._draw.choice([False, True, self._draw.randint(1, STEPS) / STEPS])


async def run_clients(base: str, maker: RequestMaker, *, clients: int, seconds: float) -> Log:
    """Have `clients` ask one request after the other for a while."""
    log = Log()
    end = time.monotonic() + seconds

    async def client() -> None:
        async with httpx.AsyncClient(timeout=60.0, trust_env=False) as http:
            while time.monotonic() < end:
                await _exchange(http, base, maker.next(), log)

    await asyncio.gather(*(client() for _ in range(clients)))
    return log


async def _exchange(http: httpx.AsyncClient, base: str, asked: Asked, log: Log) -> None:
    try:
        answer = await ask(http, base, asked)
    except (httpx.HTTPError, AnswerError) as error:
        log.failures.append(f"{type(error).__name__}: {error}"[:300])
        return
    if answer is None:
        log.hung_up += 1
    else:
        log.answered.append(answer)


class AnswerError(Exception):
    """An answer that is not whole."""


async def ask(http: httpx.AsyncClient, base: str, asked: Asked) -> Answered | None:
    """Send a request and read its stream; None where the client hung up.

    Raises:
        AnswerError: another status than 200, an error event, or a stream without its end.
    """
    lines: list[str] = []
    async with http.stream("POST", f"{base}/chat/completions", json=asked.body) as response:
        if response.status_code != httpx.codes.OK:
            raise AnswerError(f"status {response.status_code}: {(await response.aread())[:200]!r}")
        async for line in response.aiter_lines():
            if asked.hangs_up_after is not None and len(lines) >= asked.hangs_up_after:
                return None
            if line:
                lines.append(line)
    return read_stream(asked, lines)


def read_stream(asked: Asked, lines: Sequence[str]) -> Answered:
    """A whole stream, taken apart.

    Raises:
        AnswerError: it holds an error, no end, or no report.
    """
    if not lines or lines[-1] != "data: [DONE]":
        raise AnswerError(f"the stream ends with {lines[-1][:200] if lines else 'nothing'}")
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    reports = [event["scalpel"] for event in events if event.get("scalpel")]
    if len(reports) < 2:
        raise AnswerError(f"{len(reports)} reports in a stream; wanted the first and the last")
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    applied = {name: float(entry["strength"]) for name, entry in reports[-1]["applied"].items()}
    return Answered(asked=asked, text=text, applied=applied, plan=reports[-1]["plan"])
