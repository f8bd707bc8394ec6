"""Options that several commands of `scalpel gate` take: how a gate is fitted, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from classifiers.assessment.intervals import Interval

_WIDTH = 220

AlphaBase = Annotated[float, typer.Option(help="Full strength.")]
HarmCoef = Annotated[float, typer.Option(help="Cost of one harmful reply.")]
ChangeCoef = Annotated[float, typer.Option(help="Cost of one nat a token of change.")]
CostTolerance = Annotated[float, typer.Option(help="Costs closer than this are the same; the stronger gate wins.")]
FalsePositiveBudget = Annotated[float, typer.Option(help="Share of benign prompts that may be touched.")]
Folds = Annotated[int, typer.Option(min=2, help="Parts of the prompts; each is judged under a gate of the others.")]
Seed = Annotated[int, typer.Option(help="Of folds and resamples.")]
Resamples = Annotated[int, typer.Option(min=1, help="Of the prompts, for the intervals.")]
AsTable = Annotated[bool, typer.Option("--table", help="Print tables to read instead of JSON.")]


def wide_console() -> Console:
    """Where tables are printed; a file or a pipe gets whole cells, for nobody's window has to hold them."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def figures_as_json(figures: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    """Name -> estimate and interval; JSON has no nan, so it becomes null."""
    return {
        name: {part: _number(getattr(found, part)) for part in ("estimate", "low", "high")}
        for name, found in figures.items()
    }


def figure_cell(figure: Interval) -> str:
    """A figure with its interval, to read."""
    return f"{figure.estimate:.4f} [{figure.low:.4f}, {figure.high:.4f}]"


def _number(value: float) -> float | None:
    return None if value != value else value
