"""Measure the general classifiers and write the result; `SCALPEL_DATA` names the folder of the public sets.

With `--work DIR` sentence vectors and fold scores are kept there, and a run that was stopped goes on with them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.classifier_eval.measuring import measure
from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from classifiers.errors import ClassifiersError

NAME = "classifier_eval"
COMMAND = "SCALPEL_DATA=... OMP_NUM_THREADS=1 python -m benchmarks.classifier_eval"
_PACKAGES = ("numpy", "scipy", "torch", "tokenizers", "datasketch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier_eval", description=__doc__)
    parser.add_argument("--work", type=Path, help="folder that keeps vectors and fold scores")
    work: Path | None = parser.parse_args(arguments).work
    named = os.environ.get("SCALPEL_DATA")
    if not named:
        print("error: SCALPEL_DATA is not set; wanted the folder of the public data sets", file=sys.stderr)
        return 1
    try:
        figures = measure(Path(named), work, tell=_tell)
        result = write_result(NAME, figures=figures, command=COMMAND, packages=_PACKAGES)
    except (BenchmarkError, ClassifiersError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, (op, bound) in result.targets.items():
        print(f"{figure:32} {result.figures[figure]:9.4f}   wanted {op} {bound:g}")
    return 0


def _tell(what: str, done: int, whole: int) -> None:
    print(f"{what}: {done} of {whole}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
