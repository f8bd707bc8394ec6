"""How the figures of classifiers are shown: as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

COLUMNS = {
    "rows": "rows",
    "positives": "harmful",
    "hard": "hard benign",
    "auroc": "AUROC",
    "f1": "F1 at 0.5",
    "recall_at_1_percent": "recall at 1 %",
    "recall_at_5_percent": "recall at 5 %",
    "ece": "ECE",
}
"""Figure -> its column."""
_WIDTH = 220
_COUNTS = ("rows", "positives", "hard")
_PARTS = {
    "lodo": "sets left out, together",
    "lodo.family": "a family left out",
    "heldout": "held-out prompts of known sets",
    "file": "the file",
}


def figures_table(figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print every member's figures by category, and what is one number below it."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        # Nobody's window to fit into: a file or a pipe gets whole cells.
        console = Console(width=_WIDTH)
    for member, found in figures.items():
        table = Table(title=f"{member}; recall at false positives on hard benign prompts", title_justify="left")
        for column in ("measured on", "category", *COLUMNS.values()):
            justify: Literal["left", "right"] = "left" if column in ("measured on", "category") else "right"
            table.add_column(column, justify=justify, overflow="fold")
        for row in figure_rows(found):
            table.add_row(*row)
        console.print(table)
        for line in single_figures(found):
            console.print(line)


def figure_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """A row for each part and category (or left-out family) that has an AUROC or a count of rows."""
    rows = []
    for part, label in _PARTS.items():
        names = [name.removesuffix(".positives") for name in figures if name.endswith(".positives")]
        for name in names:
            prefix, _, category = name.rpartition(".")
            if prefix == part:
                rows.append([label, category, *(_cell(figures, f"{name}.{column}") for column in COLUMNS)])
    return rows


def single_figures(figures: Mapping[str, float]) -> list[str]:
    """Mean over families, pairs and thresholds, each in a line."""
    lines = []
    if "lodo.mean.auroc" in figures:
        lines.append(
            f"mean AUROC over {figures['lodo.mean.families']:.0f} families: {_cell(figures, 'lodo.mean.auroc')}"
        )
    if "pairs.auroc" in figures:
        lines.append(
            f"minimal pairs of unseen words: AUROC {_cell(figures, 'pairs.auroc')}, "
            f"told apart {_cell(figures, 'pairs.ordered')}"
        )
    thresholds = [name for name in figures if name.startswith("budget.overall.") and name.endswith(".threshold")]
    for name in thresholds:
        budget = name.split(".overall.")[1].removesuffix("_percent.threshold")
        lines.append(f"threshold for {budget} % of benign calibration prompts: {figures[name]:.3f}")
    return lines


def _cell(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    if name.rpartition(".")[2] in _COUNTS:
        return f"{figures[name]:,.0f}"
    if f"{name}.low" not in figures:
        return f"{figures[name]:.3f}"
    return f"{figures[name]:.3f} [{figures[f'{name}.low']:.3f}, {figures[f'{name}.high']:.3f}]"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
