"""Compare and write the result; `SCALPEL_DATA` names the folder of the public sets.

With `--work DIR` of `benchmarks.classifier_eval` the scores of left-out families are read from there; without it they
are made again, which takes as long as that benchmark. With `--guard DIR` a guard model is a peer too: a configuration
of the member `sequence`. With `--limit N` so many rows of a kind are taken, and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.classifier_eval.measuring import check_rows
from benchmarks.classifier_peers.measuring import peer_scores, ranking_figures, speed_figures
from benchmarks.classifier_peers.peers import build_peers
from benchmarks.classifier_peers.prompts import OF_A_KIND, choose
from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from classifiers import build_classifier
from classifiers.errors import ClassifiersError
from classifiers.fitting.requests.stage import MEMBERS, PARTS, build_recipes, leave_out
from classifiers.fitting.requests.table import RequestTable
from classifiers.fitting.requests.work import WorkFolder
from classifiers.requests.reading import RequestsConfig, read_requests
from classifiers.shipped import shipped_path

NAME = "classifier_peers"
COMMAND = "SCALPEL_DATA=... OMP_NUM_THREADS=1 python -m benchmarks.classifier_peers"
SEED = 6
_PACKAGES = ("numpy", "torch", "tokenizers", "datasketch", "better-profanity", "vaderSentiment")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier_peers", description=__doc__)
    parser.add_argument("--work", type=Path, help="folder that keeps vectors and fold scores")
    parser.add_argument("--guard", type=Path, help="directory with sequence.yaml of a guard model")
    parser.add_argument("--limit", type=int, help="rows of a kind; nothing is written")
    chosen = parser.parse_args(arguments)
    named = os.environ.get("SCALPEL_DATA")
    if not named:
        print("error: SCALPEL_DATA is not set; wanted the folder of the public data sets", file=sys.stderr)
        return 1
    try:
        figures = _figures(Path(named), chosen.work, chosen.guard, chosen.limit or OF_A_KIND)
        if chosen.limit is None:
            command = COMMAND + (" --guard DIR" if chosen.guard else "")
            write_result(NAME, figures=figures, command=command, packages=_PACKAGES)
    except (BenchmarkError, ClassifiersError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        if ".overall." in figure or ".mean." in figure or ".milliseconds." in figure:
            print(f"{figure:56} {value:9.4f}")
    return 0


def _figures(root: Path, work: Path | None, guard: Path | None, of_a_kind: int) -> dict[str, float]:
    torch.set_num_threads(1)
    shipped = {member: build_classifier(member, path=shipped_path(member)) for member in MEMBERS}
    peers = build_peers(guard)
    table = RequestTable.of(read_requests(RequestsConfig(root=root)))
    check_rows(table, shipped)
    found = leave_out(table, build_recipes(table, PARTS, work, _tell), work=WorkFolder(path=work), progress=_tell)
    prompts = choose(found.scored[MEMBERS[0]], seed=SEED, of_a_kind=of_a_kind)
    figures: dict[str, float] = {}
    for member, classifier in shipped.items():
        own = ranking_figures(prompts, found.scored[member]) | speed_figures(classifier)
        figures |= {f"{member}.{name}": value for name, value in own.items()}
    for name, peer in peers.items():
        scored = peer_scores(peer, prompts, found.scored[MEMBERS[0]], _tell)
        own = ranking_figures(prompts, scored) | speed_figures(peer)
        figures |= {f"{name}.{figure}": value for figure, value in own.items()}
    return figures


def _tell(what: str, done: int, whole: int) -> None:
    print(f"{what}: {done} of {whole}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
