"""The PNG figures: heads as a heat map, neurons as a plot over layers. They need matplotlib, an extra."""

from __future__ import annotations

import io
from typing import Any

from breakers.errors import TracingError
from breakers.tracing.circuit_file import CircuitFile
from breakers.tracing.effects_file import EffectGrid
from breakers.tracing.figures.scale import PLOTTED_NEURONS, cell_text, largest, limit_of

_COLOURS = "RdBu_r"
"""Red for harm lowered, blue for harm raised: told apart with any colour vision."""
_CAUSES, _WORKS_AGAINST = "#b2182b", "#2166ac"
"""The ends of those colours."""
_LABELLED_HEADS = 16
"""More heads than this leave no room for figures in the cells."""


def heat_map_png(circuit: CircuitFile, grid: EffectGrid) -> bytes:
    """Effects of all heads, a row a layer; a dot marks what is only estimated.

    Raises:
        TracingError: matplotlib is not installed.
    """
    layers, heads = grid.mean.shape
    figure = _figure(min(16.0, 2.5 + 0.55 * heads), min(16.0, 1.8 + 0.42 * layers))
    axes = figure.subplots()
    limit = limit_of(grid)
    image = axes.imshow(grid.mean.numpy(), cmap=_COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    for layer in range(layers):
        for head in range(heads if heads <= _LABELLED_HEADS else 0):
            _label_cell(axes, grid, layer, head, limit)
    axes.set(xlabel="head (·: estimated)", ylabel="layer", title=_title(circuit, "heads"))
    _whole_ticks(axes.xaxis)
    _whole_ticks(axes.yaxis)
    figure.colorbar(image, label=effect_label(circuit))
    return _png(figure)


def neuron_plot_png(circuit: CircuitFile, grid: EffectGrid) -> bytes:
    """Effects of the neurons furthest from 0, over layers; filled where exact.

    Raises:
        TracingError: matplotlib is not installed.
    """
    layers, width = grid.mean.shape
    figure = _figure(min(16.0, 4.0 + 0.9 * layers), 4.2)
    axes = figure.subplots()
    places = largest(grid, PLOTTED_NEURONS)
    layer, index = places[:, 0], places[:, 1]
    effects, exact = grid.mean[layer, index], grid.exact[layer, index]
    x = layer + (index + 0.5) / width
    for chosen, name in ((~exact, "estimated"), (exact, "exact")):
        if bool(chosen.any()):
            edges = [_CAUSES if effect > 0 else _WORKS_AGAINST for effect in effects[chosen].tolist()]
            faces = edges if name == "exact" else "none"
            axes.scatter(x[chosen].numpy(), effects[chosen].numpy(), s=14, c=faces, edgecolors=edges, label=name)
    # Outside: the best neurons are at the top, anywhere.
    figure.legend(loc="outside upper right")
    axes.axhline(0, color="#777777", linewidth=0.8)
    shown = f"{len(places)} of {int(grid.measured.sum())}"
    axes.set(
        xlim=(0, layers), xlabel="layer", ylabel=effect_label(circuit), title=_title(circuit, f"neurons, {shown}")
    )
    axes.set_xticks([at + 0.5 for at in range(layers)], [str(at) for at in range(layers)])
    return _png(figure)


def effect_label(circuit: CircuitFile) -> str:
    """What the effects are, with their unit."""
    unit = {"lead": "nats a token", "harm": "H"}[circuit.measure.kind]
    return f"effect ({unit})"


def _title(circuit: CircuitFile, what: str) -> str:
    return f"{circuit.behaviour}: {what} ({circuit.method}, {circuit.pairs.cases} cases)"


def _label_cell(axes: Any, grid: EffectGrid, layer: int, head: int, limit: float) -> None:
    if not bool(grid.measured[layer, head]):
        return
    effect = float(grid.mean[layer, head])
    text = cell_text(effect, limit) + ("" if bool(grid.exact[layer, head]) else " ·")
    colour = "white" if abs(effect) > 0.6 * limit else "black"
    axes.text(head, layer, text, ha="center", va="center", fontsize=7, color=colour)


def _whole_ticks(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TracingError(
            "matplotlib is not installed, and PNG figures need it: install scalpel[figures], or leave PNGs out"
        ) from error
    # No pyplot: it keeps every figure, and picks a back end from the environment.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    # Without its version in the file, one matplotlib draws what the next one does.
    figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    return out.getvalue()
