"""`python -m benchmarks.gates`: judge the gates of the kept chains' tables, and write the result. Needs no network.

Reports and classifiers are computed from the committed tables; the variants' tables (steering vectors, a mask) are
made by training and generating, minutes each, and kept in `--work`, from where an interrupted run goes on. With
`--without-variants` they are left out, and nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError, TargetsError
from benchmarks.gates.measuring import choice_part, member_part, report_part
from benchmarks.gates.members import members_for
from benchmarks.gates.subjects import Subject, read_subject
from benchmarks.gates.variants import variant_tables
from benchmarks.results import targets_path, write_result
from benchmarks.targets import load_targets
from breakers.demo.corpus import BEHAVIOURS
from breakers.errors import BreakersError
from classifiers.errors import ClassifiersError

NAME = "gates"
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.gates"
_PACKAGES = ("numpy", "torch", "transformers")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs") / "gates", help="folder of the variants' tables")
    parser.add_argument("--without-variants", action="store_true", help="leave choices out; nothing is written")
    chosen = parser.parse_args(arguments)
    try:
        _check_declared(writes=not chosen.without_variants)
        figures: dict[str, float] = {}
        for behaviour in BEHAVIOURS:
            figures |= _measure(read_subject(behaviour), chosen.work, with_variants=not chosen.without_variants)
        if not chosen.without_variants:
            write_result(NAME, figures=figures, command=COMMAND, packages=_PACKAGES)
    except (BenchmarkError, BreakersError, ClassifiersError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in figures.items():
        if not figure.endswith((".low", ".high")):
            print(f"{figure:64} {value:10.5f}")
    return 0


def _measure(subject: Subject, work: Path, *, with_variants: bool) -> dict[str, float]:
    _tell(f"{subject.behaviour}: the shipped gate")
    found, prompts = report_part(subject), subject.draw_prompts()
    for member, classifier in members_for(subject).items():
        _tell(f"{subject.behaviour}: {member}")
        found |= member_part(subject, prompts, member, classifier)
    if with_variants:
        found |= choice_part(subject.behaviour, [subject.table, *variant_tables(subject, work, _tell)])
    return found


def _check_declared(*, writes: bool) -> None:
    """Refuse before an hour of measuring what `write_result` would refuse after it."""
    if writes and NAME not in load_targets(targets_path()):
        raise TargetsError(f"benchmark {NAME!r} is not in targets.toml; add it, or use --without-variants")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
