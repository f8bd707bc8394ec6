"""Measure disguised requests and write the result; `SCALPEL_DATA` names the folder of the public sets.

With `--limit N` so many rows of a family and benign ones are taken, and nothing is written: to see that it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.classifier_eval.measuring import check_rows
from benchmarks.classifier_rewrites.measuring import SEED, measure
from benchmarks.classifier_rewrites.members import check_shipped, reading
from benchmarks.classifier_rewrites.requests import choose
from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from classifiers import build_classifier
from classifiers.ensemble import EnsembleClassifier
from classifiers.errors import ClassifiersError
from classifiers.fitting.prompts import Split
from classifiers.fitting.requests.table import RequestTable
from classifiers.requests.reading import RequestsConfig, read_requests
from classifiers.shipped import shipped_path

NAME = "classifier_rewrites"
COMMAND = "SCALPEL_DATA=... OMP_NUM_THREADS=1 python -m benchmarks.classifier_rewrites"
_PACKAGES = ("numpy", "torch", "tokenizers", "datasketch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier_rewrites", description=__doc__)
    parser.add_argument("--limit", type=int, help="rows of a family and benign rows; nothing is written")
    limit: int | None = parser.parse_args(arguments).limit
    named = os.environ.get("SCALPEL_DATA")
    if not named:
        print("error: SCALPEL_DATA is not set; wanted the folder of the public data sets", file=sys.stderr)
        return 1
    try:
        figures = _figures(Path(named), limit)
        if limit is None:
            write_result(NAME, figures=figures, command=COMMAND, packages=_PACKAGES)
    except (BenchmarkError, ClassifiersError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        if figure.endswith((".recall", ".cost", ".gain", ".worst", ".mean", ".false_alarms")):
            print(f"{figure:56} {value:9.4f}")
    return 0


def _figures(root: Path, limit: int | None) -> dict[str, float]:
    torch.set_num_threads(1)
    parts = ("lexical-requests", "embedding")
    shipped = {part: build_classifier(part, path=shipped_path(part)) for part in parts}
    ensemble = build_classifier("ensemble", path=shipped_path("ensemble"))
    if not isinstance(ensemble, EnsembleClassifier):
        raise BenchmarkError(f"what ships as ensemble is {ensemble.name}; wanted an ensemble")
    check_shipped(ensemble)
    table = RequestTable.of(read_requests(RequestsConfig(root=root)))
    check_rows(table, shipped)
    heldout = table.at(table.of_split(Split.HELDOUT))
    sizes = {} if limit is None else {"of_a_family": limit, "benign": limit}
    chosen = choose(heldout, seed=SEED, **sizes)
    return measure(chosen, reading(ensemble, disguised=True), reading(ensemble, disguised=False), tell=_tell)


def _tell(what: str, done: int, whole: int) -> None:
    print(f"{what}: {done} of {whole}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
