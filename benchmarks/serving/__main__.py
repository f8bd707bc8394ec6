"""`python -m benchmarks.serving`: tokens a second and time to first token, ours and its peers.

Contenders, each a server on a socket in a process of its own, all asked by the same streaming clients: `ours-none`
without any bundle, `ours-off` with bundles loaded and off for every request, `ours-plans` with other strengths for
every request, `transformers` (`transformers serve`), `transformers-cb` (`... --continuous-batching`).
Every reply, timed or not, has to be the greedy one of plain `generate`, steered where the request has a plan.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from benchmarks.serving.contenders import CONTENDERS, running
from benchmarks.serving.figures import figures_of
from benchmarks.serving.models import SPECS, ModelSpec, prepare
from benchmarks.serving.timing import check_answers, run_rounds

NAME = "serving"
CLIENTS = (1, 4, 16)
ROUNDS = 7
PACKAGES = ("torch", "transformers", "httpx", "uvicorn", "fastapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    models: tuple[str, ...] = tuple(SPECS)
    contenders: tuple[str, ...] = tuple(CONTENDERS)
    clients: tuple[int, ...] = CLIENTS
    rounds: int = ROUNDS
    tokens: int | None = None
    """The most in a reply; None for each model's own."""
    requests: int | None = None
    """Of each client in a round; None for each model's own."""


QUICK = Options(models=("demo",), clients=(1, 4), rounds=1, requests=4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the result, print the figures that have targets."""
    options = parse_options(arguments)
    try:
        figures: dict[str, float] = {}
        for model in options.models:
            figures |= measure(model, SPECS[model], options)
        shown = " ".join(["python -m benchmarks.serving", *map(shlex.quote, arguments or sys.argv[1:])])
        # A part of the benchmark is for looking at: it must not replace the committed result.
        folder = None if is_whole(options) else Path("runs") / "benchmarks"
        result = write_result(NAME, figures=figures, command=shown, packages=PACKAGES, folder=folder)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        if figure.startswith("ratio.") and not figure.endswith((".low", ".high")):
            low, high = figures[f"{figure}.low"], figures[f"{figure}.high"]
            op, bound = result.targets.get(figure, ("", 0.0))
            wanted = f"   wanted {op} {bound:g}" if op else ""
            print(f"{figure:36} {value:7.3f} [{low:.3f}, {high:.3f}]{wanted}")
    return 0


def measure(model: str, spec: ModelSpec, options: Options) -> dict[str, float]:
    """All figures of one model."""
    spec = replace(spec, tokens=options.tokens or spec.tokens)
    usual = min(spec.requests.values())
    requests = {count: options.requests or spec.requests.get(count, usual) for count in options.clients}
    threads = spec.threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(model, spec, Path(folder))
        with running(options.contenders, prepared, threads) as servers:
            check_answers(prepared, servers, _say)
            found = run_rounds(
                prepared,
                servers,
                clients=options.clients,
                rounds=options.rounds,
                requests=requests,
                report=_say,
            )
    return figures_of(model, found)


def is_whole(options: Options) -> bool:
    """Whether nothing is left out; only then is the result one to commit."""
    return options.rounds >= ROUNDS and replace(options, rounds=ROUNDS) == Options()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse_options(arguments: Sequence[str] | None) -> Options:
    """The command line as options; exits where it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(SPECS), default=None)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=None)
    parser.add_argument("--clients", nargs="+", type=int, default=None, help="streaming clients at once")
    parser.add_argument("--rounds", type=int, default=None, help="of every contender, in turn")
    parser.add_argument("--tokens", type=int, default=None, help="the most in a reply")
    parser.add_argument("--requests", type=int, default=None, help="of each client in a round")
    parser.add_argument("--quick", action="store_true", help="a smoke run: demo model, one short round")
    parsed = parser.parse_args(arguments)
    given: Mapping[str, object] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parsed).items()
        if name != "quick" and value is not None
    }
    return replace(QUICK if parsed.quick else Options(), **given)  # type: ignore[arg-type]  # as the parser made them


if __name__ == "__main__":
    sys.exit(main())
