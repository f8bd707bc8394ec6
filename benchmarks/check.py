"""`python -m benchmarks.check`: every figure beside its target, misses last.

Fails on a target without a figure, on a figure from other contents than the code it measures has now, on targets in
a result that are not those of `targets.toml`, and on a target looser than in the previous commit. A missed target
does not fail: it stays in the table as missed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.errors import BenchmarkError, TargetsError
from benchmarks.history import CHANGED, contents, git
from benchmarks.results import ResultFile, load_result, results_folder, targets_path
from benchmarks.targets import BenchmarkTargets, load_targets, looser_targets, parse_targets

_PREVIOUS = ("HEAD", "HEAD~1")


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its target."""

    benchmark: str
    figure: str
    value: float
    bound: str
    met: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What the check found."""

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def check(targets: Mapping[str, BenchmarkTargets], results: Path, current: Mapping[str, Mapping[str, str]]) -> Report:
    """Compare results with targets.

    Args:
        targets: by benchmark.
        results: folder of the result files.
        current: benchmark -> measured path -> git's hash of its contents now.
    """
    report = Report()
    for name, declared in targets.items():
        try:
            result = load_result(results / f"{name}.json")
        except TargetsError as error:
            report.failures.append(f"{name}: {error}")
            continue
        report.failures.extend(f"{name}: {problem}" for problem in _stale(result, declared, current[name]))
        for figure, target in declared.targets.items():
            if figure not in result.figures:
                report.failures.append(f"{name}: target {figure!r} has no figure")
                continue
            value = result.figures[figure]
            report.rows.append(Row(name, figure, value, f"{target.op} {target.value:g}", target.met(value)))
    return report


def _stale(result: ResultFile, declared: BenchmarkTargets, current: Mapping[str, str]) -> list[str]:
    problems = []
    if result.commit.endswith(CHANGED):
        problems.append(f"measured at {result.commit}, on code that was not committed; measure again")
    changed = [path for path in declared.measures if result.contents.get(path) != current.get(path)]
    if changed:
        problems.append(f"older than the code it measures ({', '.join(changed)} changed); measure again")
    if result.targets != {figure: (t.op, t.value) for figure, t in declared.targets.items()}:
        problems.append("its targets are not those of targets.toml; measure again")
    return problems


def previous_targets() -> list[dict[str, BenchmarkTargets]]:
    """The targets of the last commits that had any."""
    texts = [git("show", f"{revision}:benchmarks/targets.toml") for revision in _PREVIOUS]
    return [parse_targets(text) for text in texts if text]


def main() -> int:
    """Print the table; 1 where the check fails."""
    try:
        targets = load_targets(targets_path())
        current = {name: contents(declared.measures) for name, declared in targets.items()}
        report = check(targets, results_folder(), current)
        for before in previous_targets():
            report.failures.extend(
                f"{x.benchmark}: target {x.figure!r} was {x.was} and is now {x.now}; targets may only tighten"
                for x in looser_targets(targets, before)
            )
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for row in sorted(report.rows, key=lambda r: not r.met):
        print(
            f"{'met   ' if row.met else 'MISSED'}  {row.benchmark:20} {row.figure:44} {row.value:>10.4g} {row.bound}"
        )
    for failure in dict.fromkeys(report.failures):
        print(f"error: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
