"""The curve of a gate as PNG or SVG: strength over harm potential, above where the table's prompts lie.

Needs matplotlib, an extra. The same report gives the same bytes.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from classifiers.errors import FitError
from classifiers.gate_table import GateTable
from classifiers.gates.report import GateReport

FORMATS = ("png", "svg")
_BINS = 40
_STRENGTH, _BENIGN, _OTHER = "#222222", "#2166ac", "#b2182b"
"""The two kinds of prompts are told apart with any colour vision."""


def curve_picture(table: GateTable, report: GateReport, format_name: str) -> bytes:
    """The file's bytes.

    Raises:
        FitError: the format is not one of `FORMATS`, or matplotlib is not installed.
    """
    if format_name not in FORMATS:
        raise FitError(f"a picture of format {format_name!r} was asked for; wanted {' or '.join(FORMATS)}")
    matplotlib, figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    starts = [step.harm_potential for step in report.steps]
    strengths = [step.strength for step in report.steps]
    above.step([*starts, 1.0], [*strengths, strengths[-1]], where="post", color=_STRENGTH)
    above.set(ylabel="strength", ylim=(-0.03, 1.05 * max(1.0, *strengths)), title=_title(table, report))
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    for name, chosen, colour in (("benign", table.benign, _BENIGN), ("other", ~table.benign, _OTHER)):
        below.hist(table.harm_potential[chosen], edges, histtype="step", color=colour, label=f"{name} prompts")
    below.set(xlabel=f"harm potential by {table.classifier}", ylabel="prompts", yscale="symlog", xlim=(0.0, 1.0))
    below.legend()
    # Ids of SVG elements are random without a salt.
    with matplotlib.rc_context({"svg.hashsalt": "scalpel"}):
        return _bytes(figure, format_name)


def _title(table: GateTable, report: GateReport) -> str:
    return f"{table.bundle}: gate {'as given' if report.given else 'fitted'}, p_off {report.gate.p_off:.3g}"


def _figure() -> tuple[Any, Any]:
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FitError(
            "matplotlib is not installed, and pictures need it: install scalpel[figures], or leave --curve out"
        ) from error
    # No pyplot: it keeps every figure, and picks a back end from the environment.
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    return matplotlib, figure


def _bytes(figure: Any, format_name: str) -> bytes:
    out = io.BytesIO()
    # Without date and version in the file, one matplotlib draws what the next one does.
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[format_name]
    figure.savefig(out, format=format_name, dpi=120, metadata=metadata)
    return out.getvalue()
