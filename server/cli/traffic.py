"""Demo traffic: a bounded, seeded mix of requests, sent with a fixed number at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from server.cli.client import ReplyError, ServerClient

KINDS = ("smalltalk", "facts", "arithmetic", "toxicity", "gender_bias", "misinformation", "mixed")
"""Kinds of the demo's corpus, each as often as the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficConfig:
    """What to send."""

    model: str
    requests: int
    concurrency: int
    off_share: float
    """Share of requests with all breakers off, in [0, 1]."""
    max_tokens: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficResult:
    """What came back."""

    answered: int
    refused: int
    steered: int
    """Answers in which a breaker acted."""


def demo_bodies(config: TrafficConfig) -> Iterator[dict[str, Any]]:
    """The request bodies, from the held-out prompts of the demo's corpus."""
    from breakers.demo.corpus import heldout

    rng = random.Random(config.seed)
    each = -(-config.requests // len(KINDS))
    prompts = [example.messages for kind in KINDS for example in heldout(kind, each, config.seed)]
    rng.shuffle(prompts)
    for messages in prompts[: config.requests]:
        profile = "off" if rng.random() < config.off_share else "default"
        yield {
            "model": config.model,
            "messages": messages,
            "max_tokens": config.max_tokens,
            "temperature": 0.7,
            "seed": rng.randrange(2**31),
            "scalpel": {"profile": profile},
        }


def send(client: ServerClient, bodies: Iterator[dict[str, Any]], concurrency: int) -> TrafficResult:
    """Send everything, and count the answers.

    Raises:
        CommandError: the server cannot be reached.
    """
    with ThreadPoolExecutor(concurrency) as pool:
        steered = list(pool.map(lambda body: _send_one(client, body), bodies))
    answered = [one for one in steered if one is not None]
    return TrafficResult(answered=len(answered), refused=len(steered) - len(answered), steered=sum(answered))


def _send_one(client: ServerClient, body: dict[str, Any]) -> bool | None:
    """Whether any token was steered; None where the server refused or failed the request."""
    try:
        report = client.complete(body)["scalpel"]
    except ReplyError:
        return None
    if report["tokens_steered"] is not None:
        return bool(report["tokens_steered"] > 0)
    # A gateway does not know how many tokens there were.
    return any(applied["strength"] > 0 for applied in report["applied"].values())
