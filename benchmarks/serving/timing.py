"""Rounds: every contender first checked to give the right answers, then all of them in turn, again and again."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.errors import ServedModelError
from benchmarks.processes import cpu_seconds
from benchmarks.served import RunningServer
from benchmarks.serving.client import run_load
from benchmarks.serving.contenders import CONTENDERS, Contender
from benchmarks.serving.figures import Round, Rounds
from benchmarks.serving.models import Job, Prepared

CHECKED_AT_ONCE = 4

Report = Callable[[str], None]


def check_answers(prepared: Prepared, servers: Mapping[str, RunningServer], report: Report) -> None:
    """Ask every contender for every job; this also warms it up.

    Raises:
        ServedModelError: a reply is not the one that plain `generate` gives, or no plan changes any reply.
    """
    if all(job.plain == job.steered for job in prepared.jobs):
        raise ServedModelError("no plan changes any reply: right answers would not show that plans are applied")
    for name, server in servers.items():
        _load(prepared, CONTENDERS[name], server, shares(prepared.jobs, CHECKED_AT_ONCE))
        report(f"{prepared.name}: {name} answers as generate does")


def run_rounds(
    prepared: Prepared,
    servers: Mapping[str, RunningServer],
    *,
    clients: Sequence[int],
    rounds: int,
    requests: Mapping[int, int],
    report: Report,
) -> Rounds:
    """Load each contender in turn, `rounds` times for each number of clients.

    Args:
        prepared: what is served.
        servers: contender -> its server.
        clients: how many at once.
        rounds: how often; each begins with another contender, and every other one goes backwards, so that none always
            follows the same one.
        requests: of each client in a round, by the number of clients.
        report: hears of each round.

    Raises:
        ServedModelError: a request failed, or its reply is wrong.
    """
    found: Rounds = {(count, name): [] for count in clients for name in servers}
    names = list(servers)
    for count in clients:
        for number in range(rounds):
            turn = number % len(names)
            order = names[turn:] + names[:turn]
            for name in order if number % 2 == 0 else reversed(order):
                each = max(1, requests[count] // (CONTENDERS[name].share if count > 1 else 1))
                jobs = turns(prepared.jobs, count, each)
                measured = _load(prepared, CONTENDERS[name], servers[name], jobs)
                found[count, name].append(measured)
                report(f"{prepared.name}: {count} clients, {name}: {measured.tokens_per_second:.0f} tokens/s")
    return found


def shares(jobs: Sequence[Job], clients: int) -> list[list[Job]]:
    """All jobs, dealt out."""
    return [list(jobs[client::clients]) for client in range(min(clients, len(jobs)))]


def turns(jobs: Sequence[Job], clients: int, requests: int) -> list[list[Job]]:
    """`requests` jobs for each client; at any time clients are at different ones as far as there are enough."""
    step = max(1, len(jobs) // clients)
    return [[jobs[(client * step + n) % len(jobs)] for n in range(requests)] for client in range(clients)]


def _load(
    prepared: Prepared, contender: Contender, server: RunningServer, by_client: Sequence[Sequence[Job]]
) -> Round:
    bodies = [[contender.body(prepared, job) for job in jobs] for jobs in by_client]
    before = cpu_seconds(server.process_id)
    load = asyncio.run(run_load(server.base_url, bodies))
    used = cpu_seconds(server.process_id) - before
    tokens = 0
    for jobs, replies in zip(by_client, load.replies, strict=True):
        for job, reply in zip(jobs, replies, strict=True):
            wanted = contender.answer(job)
            if reply.text != wanted.text:
                raise ServedModelError(
                    f"{contender.name} on {prepared.name} answers {reply.text!r} to {job.messages[-1]['content']!r}; "
                    f"generate gives {wanted.text!r}"
                )
            tokens += wanted.tokens
    first = [1000 * reply.first_token_seconds for replies in load.replies for reply in replies]
    return Round(tokens=tokens, seconds=load.seconds, first_token_ms=statistics.median(first), cpu_seconds=used)
