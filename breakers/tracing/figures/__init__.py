"""Figures of a trace: two PNGs, and one page that needs nothing but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from breakers.tracing.circuit_file import CircuitFile
    from breakers.tracing.effects_file import EffectsTable

HEAT_MAP_NAME = "heads.png"
NEURON_PLOT_NAME = "neurons.png"
PAGE_NAME = "trace.html"


def trace_figures(circuit: CircuitFile, effects: EffectsTable) -> dict[str, bytes]:
    """All figures, by file name; no neuron plot where no neuron was traced.

    Raises:
        TracingError: matplotlib is not installed; `trace_page` does without.
    """
    from breakers.tracing.figures.images import heat_map_png, neuron_plot_png

    figures = trace_page(circuit, effects) | {HEAT_MAP_NAME: heat_map_png(circuit, effects.heads)}
    if effects.neurons is not None and bool(effects.neurons.measured.any()):
        figures[NEURON_PLOT_NAME] = neuron_plot_png(circuit, effects.neurons)
    return figures


def trace_page(circuit: CircuitFile, effects: EffectsTable) -> dict[str, bytes]:
    """The page alone."""
    from breakers.tracing.figures.page import page_html

    return {PAGE_NAME: page_html(circuit, effects)}
