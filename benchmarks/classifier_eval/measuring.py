"""The figures of each general member, by name: `MEMBER.lodo...`, `MEMBER.heldout...`, `MEMBER.latency...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.errors import BenchmarkError
from classifiers import build_classifier
from classifiers.artifact import SourceCard
from classifiers.assessment.latency import latency
from classifiers.base import HarmClassifier
from classifiers.fitting.requests.measuring import split_figures
from classifiers.fitting.requests.provenance import source_cards
from classifiers.fitting.requests.recipes import CATEGORIES
from classifiers.fitting.requests.stage import MEMBERS, PARTS, Progress, build_recipes, leave_out
from classifiers.fitting.requests.table import RequestTable
from classifiers.fitting.requests.work import WorkFolder
from classifiers.requests.own import own_rows
from classifiers.requests.reading import RequestsConfig, read_requests
from classifiers.shipped import shipped_path

BATCHES = (1, 8, 32)
CALLS: Mapping[int, int] = {1: 500, 8: 100, 32: 40}


def measure(root: Path, work: Path | None, tell: Progress) -> dict[str, float]:
    """All figures.

    Raises:
        BenchmarkError: what ships was fitted on other rows than those that are left out here.
        ClassifiersError: a set cannot be read, a fit fails, or a member does not ship.
    """
    torch.set_num_threads(1)
    shipped = {member: build_classifier(member, path=shipped_path(member)) for member in MEMBERS}
    tell("reading", 0, 1)
    table = RequestTable.of(read_requests(RequestsConfig(root=root)))
    check_rows(table, shipped)
    found = leave_out(table, build_recipes(table, PARTS, work, tell), work=WorkFolder(path=work), progress=tell)
    figures: dict[str, float] = {}
    for number, (member, classifier) in enumerate(shipped.items(), 1):
        own = found.figures(member) | split_figures(classifier, table) | latency_figures(classifier)
        figures |= {f"{member}.{name}": value for name, value in own.items()}
        tell("measuring members", number, len(shipped))
    return figures


def check_rows(table: RequestTable, shipped: Mapping[str, HarmClassifier]) -> None:
    """Whether what ships was fitted on the table's training rows.

    Raises:
        BenchmarkError: it was not.
    """
    wanted = _hashes(source_cards(table.at(table.training()), CATEGORIES))
    for member in PARTS:
        found = _hashes(shipped[member].card.sources)  # type: ignore[attr-defined]
        if found != wanted:
            differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
            raise BenchmarkError(
                f"what ships as {member} was fitted on other rows of {', '.join(differing)}; fit it again"
            )


def latency_figures(classifier: HarmClassifier) -> dict[str, float]:
    """`latency.PROMPTS.p50` and `.p99`, milliseconds of a call of so many of our own requests."""
    prompts = [row.conversation for row in own_rows()]
    figures: dict[str, float] = {}
    for batch in BATCHES:
        found = latency(classifier, prompts, batch=batch, calls=CALLS[batch])
        figures |= {f"latency.{batch}.p50": found.p50, f"latency.{batch}.p99": found.p99}
    return figures


def _hashes(sources: Sequence[SourceCard]) -> dict[str, str]:
    return {source.name: source.sha256 for source in sources}
