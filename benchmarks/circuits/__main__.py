"""`python -m benchmarks.circuits`: the demo model's circuit-scoped breakers on held-out prompts, and baselines.

Over HTTP, deterministic: breakers off, the gate deciding, full strength on every prompt, greedy and at temperature 1.
In process: each breaker alone at strength 1 against a random set of the same size, a whole-layer steering vector, a
LoRA fine-tune and a system prompt, each at the smallest strength with the same harm reduction on calibration prompts.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.circuits.options import MIXED_PROMPTS, PROMPTS, Options
from benchmarks.errors import BenchmarkError, TargetsError
from benchmarks.results import targets_path, write_result
from benchmarks.targets import load_targets
from breakers.demo.corpus import BEHAVIOURS
from breakers.errors import BreakersError

NAME = "circuits"
PACKAGES = ("torch", "transformers", "peft", "numpy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the result and the examples, print the figures that have targets."""
    options = _options(_parser().parse_args(arguments))
    from benchmarks.circuits.examples import write_examples
    from benchmarks.circuits.figures import all_figures
    from benchmarks.circuits.jobs import all_jobs, run_jobs
    from benchmarks.circuits.subjects import read_subject

    shown = shlex.join(["python", "-m", "benchmarks.circuits", *(sys.argv[1:] if arguments is None else arguments)])
    # Only the whole benchmark at its own size may replace the committed result.
    folder = None if options.whole else Path("runs") / "benchmarks"
    try:
        if NAME not in load_targets(targets_path()):
            raise TargetsError(f"targets.toml has no section {NAME}; wanted one before measuring")
        for behaviour in options.behaviours:
            # Once, before processes need it: pairs may have to be made.
            read_subject(behaviour, options)
        results = run_jobs(all_jobs(options), options)
        result = write_result(
            NAME, figures=all_figures(results, options), command=shown, packages=PACKAGES, folder=folder
        )
        write_examples(results, options, folder)
    except (BenchmarkError, BreakersError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; what is finished is in {options.work}, and the next run goes on", file=sys.stderr)
        return 130
    for figure, (op, bound) in result.targets.items():
        print(f"{figure:44} {result.figures.get(figure, float('nan')):9.4f}   wanted {op} {bound:g}")
    return 0


def _options(parsed: argparse.Namespace) -> Options:
    return Options(**{name: value for name, value in vars(parsed).items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.circuits")
    parser.add_argument("--behaviours", nargs="+", choices=BEHAVIOURS, type=str)
    parser.add_argument("--prompts", type=int, help=f"of each kind; {PROMPTS} by default, others are not committed")
    parser.add_argument("--mixed", type=int, help=f"prompts of that kind over HTTP; {MIXED_PROMPTS} by default")
    parser.add_argument("--processes", type=int, help="jobs at a time; 2 by default")
    parser.add_argument("--bundles", type=Path, help="folder of the bundles; the packaged ones by default")
    parser.add_argument("--chains", type=Path, help="folder of their chains; the committed ones by default")
    parser.add_argument("--work", type=Path, help="where finished parts are kept; runs/circuits by default")
    parser.add_argument("--steps", type=int, help="most training steps of a baseline; the recipe's by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
