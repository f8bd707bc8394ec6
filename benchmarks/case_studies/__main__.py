"""`python -m benchmarks.case_studies keep RUN...` copies chains of shipped bundles; `draw` writes the figures.

Tables are written by `python -m benchmarks.tables`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.case_studies.chains import chain_folder, keep_chain, read_chain
from benchmarks.case_studies.pictures import circuit_svg, curve_svg
from benchmarks.case_studies.rows import curve_points
from benchmarks.circuits_tables import BEHAVIOURS
from benchmarks.errors import BenchmarkError
from benchmarks.history import root
from benchmarks.results import load_result, results_folder
from breakers.bundles.store import write_atomically
from breakers.errors import BreakersError

FIGURES = Path("docs") / "case-studies" / "figures"


def main(arguments: Sequence[str] | None = None) -> int:
    """Keep or draw."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "keep":
            for run in parsed.runs:
                print(keep_chain(run))
        else:
            for name, text in figures(load_result(results_folder() / "circuits.json").figures).items():
                path = root() / FIGURES / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text.encode())
                print(FIGURES / name)
    except (BenchmarkError, BreakersError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def figures(measured: Mapping[str, float]) -> dict[str, str]:
    """File name -> SVG, of the committed result and the kept chains."""
    found = {}
    for behaviour in BEHAVIOURS:
        name = behaviour.replace("_", "-")
        found[f"{name}-circuit.svg"] = circuit_svg(read_chain(chain_folder(behaviour), behaviour))
        found[f"{name}-curve.svg"] = curve_svg(curve_points(measured, behaviour))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.case_studies")
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("keep", help="copy what is kept of the chains of shipped bundles")
    keep.add_argument("runs", nargs="+", type=Path, help="work folders of `scalpel recipe run`")
    commands.add_parser("draw", help="write the figures of docs/case-studies")
    return parser


if __name__ == "__main__":
    sys.exit(main())
