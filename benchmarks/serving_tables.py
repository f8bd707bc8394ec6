"""The tables of docs/results/serving.md, from the figures of `benchmarks.serving`."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.serving.contenders import CONTENDERS, NONE, OFF, PLANS
from benchmarks.serving.figures import PEER
from benchmarks.serving.models import SPECS

Figures = Mapping[str, float]

_CLIENTS = (1, 4, 16)
_RATIOS = ((OFF, PEER), (PLANS, PEER), (OFF, NONE), (PLANS, NONE))


def speed_rows(figures: Figures) -> list[list[str]]:
    """Header, then tokens a second by model, contender and number of clients."""
    return _rows(figures, "tokens_per_second", "tokens/s", digits=0)


def first_token_rows(figures: Figures) -> list[list[str]]:
    """Header, then milliseconds to the first text."""
    return _rows(figures, "first_token_ms", "ms", digits=0)


def processor_rows(figures: Figures) -> list[list[str]]:
    """Header, then milliseconds of processor time a token."""
    return _rows(figures, "cpu_ms_per_token", "ms", digits=2)


def ratio_rows(figures: Figures) -> list[list[str]]:
    """Header, then the ratios of tokens a second."""
    header = ["model", "of", "over", *(_clients(count) for count in _CLIENTS)]
    rows = [
        [model, one, "better peer" if other == PEER else other, *cells]
        for model in SPECS
        for one, other in _RATIOS
        if any(cells := [_cell(figures, f"ratio.{model}.{n}.{one}.{other}", 2) for n in _CLIENTS])
    ]
    return [header, *rows]


def step_rows(figures: Figures) -> list[list[str]]:
    """Header, then milliseconds of a decode step by part, from `benchmarks.step_profile`."""
    arms = [(model, arm) for model in SPECS for arm in ("off", "plans")]
    parts = ("rest of the forward", "attention and the cache", "interventions", "sampling", "delivery")
    rows = [
        [part, *(f"{figures.get(f'{model}.{arm}.{part}_ms', 0.0):.2f}" for model, arm in arms)]
        for part in (*parts, "rest of the step", "step")
    ]
    return [["ms", *(f"{model}, {arm}" for model, arm in arms)], *rows]


def _rows(figures: Figures, what: str, unit: str, digits: int) -> list[list[str]]:
    header = ["model", "contender", *(f"{unit}, {_clients(count)}" for count in _CLIENTS)]
    rows = [
        [model, name, *cells]
        for model in SPECS
        for name in CONTENDERS
        if any(cells := [_cell(figures, f"{what}.{model}.{count}.{name}", digits) for count in _CLIENTS])
    ]
    return [header, *rows]


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _cell(figures: Figures, name: str, digits: int) -> str:
    if name not in figures:
        return ""
    return (
        f"{figures[name]:,.{digits}f} [{figures[name + '.low']:,.{digits}f}, {figures[name + '.high']:,.{digits}f}]"
    )
