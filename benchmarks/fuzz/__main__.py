"""The command: a real server, ten thousand odd requests, and a good one behind them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import requests

from benchmarks.errors import BenchmarkError, ServedModelError
from benchmarks.fuzz.described import run_described
from benchmarks.fuzz.raw import run_raw
from benchmarks.fuzz.sender import Sender, Tally
from benchmarks.processes import resident_mebibytes
from benchmarks.results import write_result
from benchmarks.served import SCALPEL_SERVE, running_server

NAME = "fuzz"
COMMAND = "python -m benchmarks.fuzz"
REQUESTS = 10_000
WARM_SHARE = 5
"""One request in this many comes before memory is first read: pools and caches fill, code is imported."""
SEED = 0
FLAGS = ("--max-model-len", "96")
"""So that a good request among the odd ones is a short one."""
GOOD: dict[str, Any] = {
    "model": "scalpel-demo",
    "messages": [{"role": "user", "content": "Hello!"}],
    "prompt": "Hello!",
    "input": "Hello!",
    "max_tokens": 4,
    "stream": True,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure; write the result unless fewer requests were asked for."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    try:
        figures = measure(options.requests, options.seed)
        if options.requests >= REQUESTS:
            write_result(NAME, figures=figures, command=COMMAND, packages=("schemathesis", "hypothesis", "fastapi"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        print(f"{figure:24} {value:12.4f}")
    return 0 if figures["failures"] == figures["hangs"] == figures["broken"] == 0 else 1


def measure(wanted: int, number: int) -> dict[str, float]:
    """Send at least `wanted` requests to a server of its own.

    Args:
        wanted: requests.
        number: seed of what is sent.

    Raises:
        ServedModelError: the server did not start, or a good request is not answered before all the odd ones.
    """
    command = [*SCALPEL_SERVE, *FLAGS]
    with running_server("scalpel serve", command, health="/health/ready") as server:
        base = server.base_url.removesuffix("/v1")
        tally = Tally()
        sender = Sender(base, tally)
        _ask_well(base)
        document = requests.get(f"{base}/openapi.json", timeout=30).json()
        _send(sender, document, wanted // WARM_SHARE, number)
        warm = resident_mebibytes(server.process_id)
        part = 1
        while tally.requests < wanted:
            _send(sender, document, min(wanted - tally.requests, wanted // WARM_SHARE), number + part)
            part += 1
            held = resident_mebibytes(server.process_id)
            print(f"{tally.requests} requests, {held:.0f} MiB, {dict(tally.statuses)}", flush=True)
        for problem in tally.problems:
            print(problem, file=sys.stderr)
        return figures_of(tally, warm, resident_mebibytes(server.process_id), answered=_ask_well(base))


def figures_of(tally: Tally, warm: float, final: float, *, answered: bool) -> dict[str, float]:
    """The figures; memory in MiB after warm-up and at the end."""
    figures = {f"status.{status}": float(count) for status, count in sorted(tally.statuses.items())}
    return figures | {
        "requests": float(tally.requests),
        "failures": float(tally.failures),
        "hangs": float(tally.hangs),
        "broken": float(tally.broken),
        "memory.warm_mib": warm,
        "memory.final_mib": final,
        "memory.growth": final / warm,
        "good_request_answered": float(answered),
    }


def post_paths(document: Mapping[str, Any]) -> list[str]:
    """Paths of a document that take a POST and have no parameter."""
    return sorted(path for path, item in document["paths"].items() if "post" in item and "{" not in path)


def _send(sender: Sender, document: Mapping[str, Any], requests_wanted: int, number: int) -> None:
    """Half described, half raw; both kinds bring about as many as are wanted, not exactly."""
    operations = sum(len(item) for item in document["paths"].values())
    run_described(sender, document, max(2, requests_wanted // (4 * operations)), number)
    paths = post_paths(document)
    run_raw(sender, paths, GOOD, max(2, requests_wanted // (2 * len(paths))), number)


def _ask_well(base: str) -> bool:
    body = {name: GOOD[name] for name in ("model", "messages", "max_tokens")}
    response = requests.post(f"{base}/v1/chat/completions", json=body, timeout=60)
    if response.status_code != 200:
        raise ServedModelError(f"a good request got status {response.status_code}: {response.text[:400]}")
    return bool(response.json()["choices"])


if __name__ == "__main__":
    sys.exit(main())
