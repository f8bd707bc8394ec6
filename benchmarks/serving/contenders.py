"""The contenders: which server, how it is started, how it is asked, and what it has to answer.

All run in float32, with the same number of compute threads, and with their access to anything but loopback off.
`transformers serve --continuous-batching` sizes its cache by the machine's memory, which on a CPU takes gigabytes and
half a minute; it gets a cache that holds this benchmark's requests, and the same prefill budget as ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.served import SCALPEL_SERVE, RunningServer, running_server
from benchmarks.serving.models import Answer, Job, Prepared

SERVED_NAME = "bench"
NONE, OFF, PLANS = "ours-none", "ours-off", "ours-plans"
SEQUENTIAL, BATCHING = "transformers", "transformers-cb"
PEERS = (SEQUENTIAL, BATCHING)
PAGE_TOKENS = 256
PAGES = 64
BATCH_TOKENS = 512
START_SECONDS = 600.0
"""On idle cores a server starts within half a minute; beside other work it may take long, and that is no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to serve."""

    name: str
    server: str
    """Contenders with the same server ask one process."""
    body: Callable[[Prepared, Job], dict[str, Any]]
    answer: Callable[[Job], Answer]
    share: int = 1
    """With several clients it gets one in so many of a round's requests: one that is many times slower would take all
    the time."""


def _plain(job: Job) -> Answer:
    return job.plain


def _steered(job: Job) -> Answer:
    return job.steered


def _body(model: str, job: Job) -> dict[str, Any]:
    messages = [dict(turn) for turn in job.messages]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": job.tokens,
        "temperature": 0.0,
        "stream": True,
    }


def _none_body(prepared: Prepared, job: Job) -> dict[str, Any]:
    return _body(SERVED_NAME, job)


def _off_body(prepared: Prepared, job: Job) -> dict[str, Any]:
    return _body(f"{SERVED_NAME}@off", job)


def _plans_body(prepared: Prepared, job: Job) -> dict[str, Any]:
    return _body(SERVED_NAME, job) | {"scalpel": {"breakers": dict(job.strengths)}}


def _peer_body(prepared: Prepared, job: Job) -> dict[str, Any]:
    return _body(str(prepared.directory), job)


CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender(name=NONE, server="none", body=_none_body, answer=_plain),
        Contender(name=OFF, server="bundles", body=_off_body, answer=_plain),
        Contender(name=PLANS, server="bundles", body=_plans_body, answer=_steered),
        Contender(name=SEQUENTIAL, server=SEQUENTIAL, body=_peer_body, answer=_plain, share=8),
        Contender(name=BATCHING, server=BATCHING, body=_peer_body, answer=_plain),
    )
}


def command(server: str, prepared: Prepared) -> tuple[list[str], str]:
    """How a server is started, and the path that says when it is ready."""
    if server in PEERS:
        peer = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(prepared.directory)]
        peer += ["--host", "127.0.0.1", "--device", "cpu", "--dtype", "float32", "--log-level", "error"]
        if server == BATCHING:
            peer += ["--continuous-batching", "--cb-block-size", str(PAGE_TOKENS), "--cb-num-blocks", str(PAGES)]
            peer += ["--cb-max-batch-tokens", str(BATCH_TOKENS)]
        return peer, "/health"
    # Prompts come again and again here: without prefix reuse, which the peers do not have.
    ours = [*SCALPEL_SERVE, str(prepared.directory), "--served-model-name", SERVED_NAME, "--prefix-cache-tokens", "0"]
    if server == "bundles":
        ours += [argument for path in prepared.bundles for argument in ("--bundle", str(path))]
    return ours, "/health/ready"


@contextmanager
def running(names: tuple[str, ...], prepared: Prepared, threads: int) -> Iterator[dict[str, RunningServer]]:
    """Start what the contenders need; contender -> its server.

    Raises:
        ServedModelError: a server did not start.
    """
    servers: dict[str, RunningServer] = {}
    with ExitStack() as stack:
        for name in dict.fromkeys(CONTENDERS[name].server for name in names):
            arguments, health = command(name, prepared)
            server = running_server(name, arguments, health=health, threads=threads, start_seconds=START_SECONDS)
            servers[name] = stack.enter_context(server)
        yield {name: servers[CONTENDERS[name].server] for name in names}
