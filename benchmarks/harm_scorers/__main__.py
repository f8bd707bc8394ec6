"""Measure every scorer of real text and write the result; `SCALPEL_DATA` names the folder of the public sets."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.harm_scorers.answers import misinformation_figures
from benchmarks.harm_scorers.comments import toxicity_figures
from benchmarks.harm_scorers.requests import compliance_figures, refusal_figures
from benchmarks.harm_scorers.statements import bias_figures
from benchmarks.results import write_result

NAME = "harm_scorers"
COMMAND = "SCALPEL_DATA=... python -m benchmarks.harm_scorers"
_PACKAGES = ("numpy", "scikit-learn", "datasketch")


def main() -> int:
    """Measure and write the result."""
    named = os.environ.get("SCALPEL_DATA")
    if not named:
        print("error: SCALPEL_DATA is not set; wanted the folder of the public data sets", file=sys.stderr)
        return 1
    root, figures = Path(named), {}
    for part in (refusal_figures, misinformation_figures, compliance_figures, bias_figures, toxicity_figures):
        figures |= part(root)
        print(f"{part.__name__}: {len(figures)} figures", flush=True)
    try:
        shown = {name: value for name, value in figures.items() if math.isfinite(value)}
        write_result(NAME, figures=shown, command=COMMAND, packages=_PACKAGES)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
