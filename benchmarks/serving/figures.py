"""The arithmetic: from rounds to figures. Every figure is a median over rounds, with the lowest and highest round.

Ratios are taken round by round, between contenders that ran within seconds of each other, so that a machine that is
slower for a while slows both.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.serving.contenders import NONE, OFF, PEERS, PLANS

PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One contender under one load."""

    tokens: int
    seconds: float
    first_token_ms: float
    """Median over the round's requests, from sending a request to its first text."""
    cpu_seconds: float
    """Of the server's process; 0 where the system does not say."""

    @property
    def tokens_per_second(self) -> float:
        """Of all clients together."""
        return self.tokens / self.seconds


Rounds = dict[tuple[int, str], list[Round]]
"""(clients, contender) -> its rounds, in order."""


def figures_of(model: str, found: Rounds) -> dict[str, float]:
    """Figures by name: `tokens_per_second.MODEL.CLIENTS.CONTENDER`, `first_token_ms...`, `cpu_ms_per_token...`, and
    `ratio.MODEL.CLIENTS.CONTENDER.OTHER`; each with `.low` and `.high`."""
    figures: dict[str, float] = {}
    for (clients, name), rounds in found.items():
        place = f"{model}.{clients}.{name}"
        figures |= spread(f"tokens_per_second.{place}", [r.tokens_per_second for r in rounds])
        figures |= spread(f"first_token_ms.{place}", [r.first_token_ms for r in rounds])
        figures |= spread(f"cpu_ms_per_token.{place}", [1000 * r.cpu_seconds / r.tokens for r in rounds])
    for clients in dict.fromkeys(clients for clients, _ in found):
        figures |= _ratios(
            model, clients, {name: found[key] for key in found if key[0] == clients for name in key[1:]}
        )
    return figures


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """A figure's median, lowest and highest."""
    return {name: statistics.median(values), f"{name}.low": min(values), f"{name}.high": max(values)}


def better_peer(rounds: dict[str, list[Round]]) -> str | None:
    """The peer with the most tokens a second, by its median; None where none ran."""
    speeds = {name: statistics.median(r.tokens_per_second for r in rounds[name]) for name in PEERS if name in rounds}
    return max(speeds, key=lambda name: speeds[name]) if speeds else None


def _ratios(model: str, clients: int, rounds: dict[str, list[Round]]) -> dict[str, float]:
    peer = better_peer(rounds)
    pairs = [(OFF, NONE, NONE), (PLANS, NONE, NONE)]
    if peer is not None:
        pairs += [(OFF, peer, PEER), (PLANS, peer, PEER)]
    figures: dict[str, float] = {}
    for one, other, label in pairs:
        if one in rounds and other in rounds:
            values = [
                a.tokens_per_second / b.tokens_per_second for a, b in zip(rounds[one], rounds[other], strict=True)
            ]
            figures |= spread(f"ratio.{model}.{clients}.{one}.{label}", values)
    return figures
