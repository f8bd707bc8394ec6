"""The command."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import httpx

from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from benchmarks.served import SCALPEL_SERVE, RunningServer, running_server
from benchmarks.soak.bundles import SoakBundles, make_soak_bundles
from benchmarks.soak.changes import CEILED, CEILING, POLICIES, Changes
from benchmarks.soak.plans import Rule, is_possible
from benchmarks.soak.replay import differing, sample
from benchmarks.soak.traffic import Log, RequestMaker, run_clients

NAME = "soak"
COMMAND = "python -m benchmarks.soak"
MINUTES = 10.0
CLIENTS = 16
REPLAYED = 300
SEED = 0


def main(arguments: list[str] | None = None) -> int:
    """Measure; write the result unless less was asked for."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--replayed", type=int, default=REPLAYED)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(Path(folder), options.minutes, options.replayed)
        if options.minutes >= MINUTES and options.replayed >= REPLAYED:
            write_result(NAME, figures=figures, command=COMMAND, packages=("torch", "fastapi", "uvicorn", "httpx"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        print(f"{figure:24} {value:12.1f}")
    return 0 if not any(figures[name] for name in ("wrong_plans", "leaked_slots", "different", "failures")) else 1


def measure(folder: Path, minutes: float, replayed: int) -> dict[str, float]:
    """Soak a server of its own, and check what it said.

    Raises:
        ServedModelError: the server did not start, or refused a change or a replay.
    """
    bundles = make_soak_bundles(folder)
    policy = folder / "policy.yaml"
    policy.write_text(POLICIES[1], encoding="utf-8")
    config = folder / "scalpel.yaml"
    config.write_text(f"bundle_roots: [{folder}]\npolicy: {policy}\n", encoding="utf-8")
    flags = [flag for path in bundles.served for flag in ("--bundle", str(path))]
    command = [*SCALPEL_SERVE, "--deterministic", "--config", str(config), *flags]
    with running_server("scalpel serve", command, health="/health/ready") as server:
        changes = Changes(
            base=server.base_url, process_id=server.process_id, bundles=bundles, policy=policy, seed=SEED
        )
        return asyncio.run(_soak(server, bundles, changes, 60 * minutes, replayed))


async def _soak(
    server: RunningServer, bundles: SoakBundles, changes: Changes, seconds: float, replayed: int
) -> dict[str, float]:
    names = [path.name for path in bundles.served]
    log = await _under_change(server.base_url, RequestMaker(names, SEED), changes, seconds)
    await changes.settle()
    leaked = await _leaked(server.base_url)
    rules = await _rules(server.base_url)
    wrong = [answer for answer in log.answered if not is_possible(answer, rules)]
    for answer in wrong[:5]:
        print(f"wrong plan: {answer.asked.body['model']} {answer.asked.body['scalpel']} -> {answer.applied}")
    for failure in log.failures[:5]:
        print(f"failed: {failure}")
    chosen = sample(log.answered, replayed, SEED)
    different = await differing(server.base_url, changes, chosen, print)
    steered = sum(any(answer.applied.values()) for answer in log.answered)
    return {
        "seconds": seconds,
        "answered": float(len(log.answered)),
        "answered.steered": float(steered),
        "hung_up": float(log.hung_up),
        "failures": float(len(log.failures)),
        "wrong_plans": float(len(wrong)),
        "leaked_slots": leaked,
        "replayed": float(len(chosen)),
        "different": float(len(different)),
    } | {f"changes.{name}": float(count) for name, count in sorted(changes.counts.items())}


async def _under_change(base: str, maker: RequestMaker, changes: Changes, seconds: float) -> Log:
    changing = asyncio.create_task(changes.run())
    try:
        log = await run_clients(base, maker, clients=CLIENTS, seconds=seconds)
    finally:
        changing.cancel()
        with suppress(asyncio.CancelledError):
            await changing
    return log


async def _rules(base: str) -> dict[str, Rule]:
    async with httpx.AsyncClient(base_url=base, timeout=30.0, trust_env=False) as http:
        cards = (await http.get("/breakers")).json()["data"]
    return {
        card["name"]: Rule(
            gated=card["gate"] is not None,
            full=1.0 if card["gate"] is None else card["gate"]["alpha_base"],
            ceilings=(1.0, CEILING) if card["name"] == CEILED else (1.0,),
        )
        for card in cards
    }


async def _leaked(base: str) -> float:
    """Requests that the engine still holds although nobody asks any more; a moment is given to hear of hang-ups."""
    held = 0.0
    async with httpx.AsyncClient(timeout=30.0, trust_env=False) as http:
        for _ in range(50):
            text = (await http.get(base.removesuffix("/v1") + "/metrics")).text
            lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
            gauges = ("scalpel_requests_running", "scalpel_requests_waiting")
            held = sum(float(line[1]) for line in lines if line[0] in gauges)
            if not held:
                break
            await asyncio.sleep(0.1)
    return held


if __name__ == "__main__":
    sys.exit(main())
