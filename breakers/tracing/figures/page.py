"""The page of a trace: one HTML file with its figures drawn in it, which opens from a disk and asks for nothing else.

Everything that comes from the trace goes through the template's escaping, or is a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from breakers.tracing.circuit_file import CircuitFile, ComponentManifest
from breakers.tracing.effects_file import EffectGrid, EffectsTable, index_of
from breakers.tracing.figures.images import effect_label
from breakers.tracing.figures.scale import PLOTTED_NEURONS, STEPS, cell_text, largest, limit_of, shade

_CELL_WIDTH, _CELL_HEIGHT = 46.0, 30.0
_SMALL_CELL = 14.0
"""Of models with more heads than have room for figures."""
_LABELLED_HEADS = 16
_LAYER_WIDTH, _PLOT_HEIGHT = 110.0, 260.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A cell of the heat map or a dot of the neuron plot."""

    x: float
    y: float
    shade: str
    text: str
    """In the cell; empty for none."""
    tip: str
    """Shown on hovering."""
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    rank: int
    kind: str
    layer: int
    index: int
    effect: float
    standard_error: float
    exact: bool
    beyond_noise: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One of the two drawings, in its own units."""

    width: float
    height: float
    cell_width: float
    cell_height: float
    marks: list[Mark]
    layers: int
    columns: int
    limit: float
    measured: int


def page_html(circuit: CircuitFile, effects: EffectsTable) -> bytes:
    """The page's bytes."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_resource("page.html.jinja"))
    text = template.render(
        circuit=circuit,
        label=effect_label(circuit),
        facts=_facts(circuit),
        heads=_heat_map(circuit, effects.heads),
        neurons=None if effects.neurons is None else _neuron_plot(circuit, effects.neurons),
        rows=[_row(circuit, rank, component) for rank, component in enumerate(circuit.components, start=1)],
        steps=[f"n{step}" for step in range(STEPS, 0, -1)] + ["z"] + [f"p{step}" for step in range(1, STEPS + 1)],
        style=_resource("page.css"),
        script=_resource("page.js"),
    )
    return text.encode()


def _facts(circuit: CircuitFile) -> dict[str, str]:
    measure = circuit.measure
    by = "" if measure.scorer is None else f", judged by {measure.scorer}"
    facts = {
        "model": f"{circuit.base.id} ({circuit.base.fingerprint[:19]}…)",
        "cases": f"{circuit.pairs.cases} pairs" + (f", split {circuit.pairs.split}" if circuit.pairs.split else ""),
        "patched with": f"source {circuit.patch.source}, positions {circuit.patch.positions}",
        "measure": f"{measure.kind}{by}; {circuit.baseline:.4g} unmodified",
        "method": str(circuit.method),
        "cost": f"{circuit.cost.forward_passes:.6g} forward-pass equivalents",
    }
    if circuit.attribution is not None and circuit.attribution.rank_correlation is not None:
        facts["estimates against exact"] = f"rank correlation {circuit.attribution.rank_correlation:.3f}"
    if circuit.noise_floor is not None:
        floors = {"heads": circuit.noise_floor.head, "neurons": circuit.noise_floor.neuron}
        facts["noise floor"] = ", ".join(f"{kind} {floor:.3g}" for kind, floor in floors.items() if floor is not None)
    facts["seeds"] = ", ".join(map(str, circuit.seeds)) or "none"
    facts["made by"] = circuit.command
    return facts


def _heat_map(circuit: CircuitFile, grid: EffectGrid) -> Plot:
    layers, heads = grid.mean.shape
    labelled = heads <= _LABELLED_HEADS
    width, height = (_CELL_WIDTH, _CELL_HEIGHT) if labelled else (_SMALL_CELL, _SMALL_CELL)
    limit = limit_of(grid)
    marks = []
    for layer, head in grid.measured.nonzero().tolist():
        effect = float(grid.mean[layer, head])
        marks.append(
            Mark(
                x=head * width,
                y=layer * height,
                shade=shade(effect, limit),
                text=cell_text(effect, limit) if labelled else "",
                tip=_tip(circuit, grid, layer, head),
                exact=bool(grid.exact[layer, head]),
            )
        )
    return Plot(
        width=heads * width,
        height=layers * height,
        cell_width=width,
        cell_height=height,
        marks=marks,
        layers=layers,
        columns=heads,
        limit=limit,
        measured=len(marks),
    )


def _neuron_plot(circuit: CircuitFile, grid: EffectGrid) -> Plot:
    layers, width = grid.mean.shape
    limit = limit_of(grid)
    marks = []
    for layer, neuron in largest(grid, PLOTTED_NEURONS).tolist():
        effect = float(grid.mean[layer, neuron])
        marks.append(
            Mark(
                x=round((layer + (neuron + 0.5) / width) * _LAYER_WIDTH, 2),
                y=round(_PLOT_HEIGHT / 2 * (1 - effect / limit), 2),
                shade=shade(effect, limit),
                text="",
                tip=_tip(circuit, grid, layer, neuron),
                exact=bool(grid.exact[layer, neuron]),
            )
        )
    return Plot(
        width=layers * _LAYER_WIDTH,
        height=_PLOT_HEIGHT,
        cell_width=_LAYER_WIDTH,
        cell_height=_PLOT_HEIGHT,
        marks=marks,
        layers=layers,
        columns=width,
        limit=limit,
        measured=int(grid.measured.sum()),
    )


def _tip(circuit: CircuitFile, grid: EffectGrid, layer: int, index: int) -> str:
    effect, error = float(grid.mean[layer, index]), float(grid.standard_error[layer, index])
    how = "exact" if bool(grid.exact[layer, index]) else "estimated"
    unit = effect_label(circuit).partition(" ")[2]
    return f"layer {layer} {grid.component} {index}: {effect:+.4g} ± {error:.2g} {unit}, {how}"


def _row(circuit: CircuitFile, rank: int, component: ComponentManifest) -> Row:
    site = component.site.site()
    layer, index = index_of(site)
    floor = None if circuit.noise_floor is None else getattr(circuit.noise_floor, site.component.value)
    return Row(
        rank=rank,
        kind=site.component.value,
        layer=layer,
        index=index,
        effect=component.effect,
        standard_error=component.standard_error,
        exact=component.exact,
        beyond_noise=floor is None or abs(component.effect) > floor,
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
