"""Effects on disk: one safetensors file with a grid for heads and, where the model has them, one for neurons.

A grid has a mean, a standard error and two masks. What was not measured is 0 in the first two, so that the file has
no NaN, and is told from a measured 0 by the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from breakers.architectures import ModelSites
from breakers.bundles.files import read_file
from breakers.bundles.limits import WEIGHTS_LIMIT
from breakers.bundles.safetensors_header import read_header
from breakers.errors import BundleFormatError, TracingError
from breakers.sites import Component, Site
from breakers.tracing.effects import ComponentEffects, head_site, neuron_site

EFFECTS_NAME = "effects.safetensors"
_PARTS = {"mean": "F32", "standard_error": "F32", "measured": "BOOL", "exact": "BOOL"}
_KINDS = (Component.HEAD, Component.NEURON)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectGrid:
    """Effects of all heads, or all neurons, of a model."""

    component: Component
    """Head or neuron."""
    mean: Float[Tensor, "layer index"]
    """Mean CausalEffect over cases; 0 where nothing was measured."""
    standard_error: Float[Tensor, "layer index"]
    """Of the mean, over cases."""
    measured: Bool[Tensor, "layer index"]
    """False where the component was not traced, or where a layer has fewer neurons than the widest."""
    exact: Bool[Tensor, "layer index"]
    """True where the effect is one of exact patching; an estimate elsewhere."""

    def __post_init__(self) -> None:
        if self.component not in _KINDS:
            raise TracingError(f"a grid of {self.component} effects; wanted head or neuron")
        self._check_values()

    def _check_values(self) -> None:
        for name in ("mean", "standard_error"):
            values = getattr(self, name)
            if not bool(torch.isfinite(values).all()):
                raise TracingError(f"{name} of {self.component} effects holds NaN or infinite values")
            if bool((values[~self.measured] != 0).any()):
                raise TracingError(f"{name} of {self.component} effects is not 0 where nothing was measured")
        if bool((self.standard_error < 0).any()):
            raise TracingError(f"standard_error of {self.component} effects holds negative values")
        if bool((self.exact & ~self.measured).any()):
            raise TracingError(f"{self.component} effects are marked exact where nothing was measured")

    @classmethod
    def empty(cls, component: Component, layers: int, width: int) -> EffectGrid:
        """A grid in which nothing is measured."""
        none = torch.zeros(layers, width, dtype=torch.bool)
        zeros = torch.zeros(layers, width)
        return cls(component=component, mean=zeros, standard_error=zeros, measured=none, exact=none)

    def site(self, layer: int, index: int) -> Site:
        """The component at a place of the grid."""
        return head_site(layer, index) if self.component is Component.HEAD else neuron_site(layer, index)

    def ranked(self) -> Iterator[tuple[Site, float]]:
        """Measured components by mean effect, the highest first; ties by layer, then index."""
        width = self.mean.shape[1]
        flat = torch.where(self.measured, self.mean, -torch.inf).flatten()
        order = flat.argsort(descending=True, stable=True)[: int(self.measured.sum())]
        return ((self.site(at // width, at % width), float(flat[at])) for at in order.tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsTable:
    """Both grids of a model."""

    heads: EffectGrid
    neurons: EffectGrid | None
    """None for a model without dense neurons."""

    @property
    def grids(self) -> tuple[EffectGrid, ...]:
        """Those that are there."""
        return (self.heads,) if self.neurons is None else (self.heads, self.neurons)

    def grid(self, component: Component) -> EffectGrid:
        """The grid of one kind of component.

        Raises:
            TracingError: the model has none.
        """
        for grid in self.grids:
            if grid.component is component:
                return grid
        raise TracingError(f"there are no effects of kind {component} in this table")


def grid_shape(sites: ModelSites, component: Component) -> tuple[int, int]:
    """Layers and components of a layer, as many as the widest layer has; (layers, 0) where there are none."""
    if component is Component.HEAD:
        return sites.layers, sites.heads
    return sites.layers, max(sites.mlp_widths.values(), default=0)


def index_of(site: Site) -> tuple[int, int]:
    """Layer and index of a head or a single neuron.

    Raises:
        TracingError: the site is something else.
    """
    if site.head is not None:
        return site.layer, site.head
    if site.neurons is not None and len(site.neurons) == 1 and site.expert is None:
        return site.layer, site.neurons[0]
    raise TracingError(f"{site} is not one head or one neuron outside experts, and has no place in a table of them")


def table_of(
    sites: ModelSites, exact: ComponentEffects | None, estimated: EffectsTable | None = None
) -> EffectsTable:
    """A table of exactly measured effects, over estimates of the rest.

    Args:
        sites: of the model, for the shape.
        exact: heads and single neurons; they replace estimates. None for none.
        estimated: what holds elsewhere; nothing is measured there if left out.
    """
    grids = {}
    for component in _KINDS:
        layers, width = grid_shape(sites, component)
        base = EffectGrid.empty(component, layers, width)
        if estimated is not None and width:
            base = estimated.grid(component)
        grids[component] = _overlaid(base, exact)
    neurons = grids[Component.NEURON]
    return EffectsTable(heads=grids[Component.HEAD], neurons=neurons if neurons.mean.shape[1] else None)


def _overlaid(base: EffectGrid, exact: ComponentEffects | None) -> EffectGrid:
    chosen = [] if exact is None else [n for n, s in enumerate(exact.sites) if s.component is base.component]
    if exact is None or not chosen:
        return base
    places = torch.tensor([index_of(exact.sites[n]) for n in chosen])
    layer, index = places[:, 0], places[:, 1]
    mean, error = base.mean.clone(), base.standard_error.clone()
    measured, marked = base.measured.clone(), base.exact.clone()
    mean[layer, index] = exact.mean[chosen].float().cpu()
    error[layer, index] = exact.standard_error[chosen].float().cpu()
    measured[layer, index] = True
    marked[layer, index] = True
    return EffectGrid(component=base.component, mean=mean, standard_error=error, measured=measured, exact=marked)


def effects_bytes(table: EffectsTable) -> bytes:
    """The table as the bytes of a safetensors file."""
    tensors = {f"{g.component}.{part}": getattr(g, part).contiguous() for g in table.grids for part in _PARTS}
    data: bytes = save_safetensors({name: tensor.clone() for name, tensor in tensors.items()})
    return data


def read_effects(path: Path) -> tuple[EffectsTable, bytes]:
    """The table in a file, and the bytes that it was read from, for their hash.

    Raises:
        TracingError: the file is missing, is something else, or its parts do not fit together.
    """
    if not path.is_file():
        raise TracingError(f"{path}: not there; wanted the effects that `scalpel trace` wrote")
    try:
        data = read_file(path, WEIGHTS_LIMIT)
        found = {name: (header.dtype, header.shape) for name, header in read_header(data, str(path)).items()}
    except BundleFormatError as error:
        raise TracingError(str(error)) from error
    _check_tensors(found, path)
    try:
        tensors = load_safetensors(data)
        grids = {kind: _grid(kind, tensors) for kind in _KINDS if f"{kind}.mean" in tensors}
        return EffectsTable(heads=grids[Component.HEAD], neurons=grids.get(Component.NEURON)), data
    except (TracingError, SafetensorError) as error:
        raise TracingError(f"{path}: {error}") from error


def _check_tensors(found: dict[str, tuple[str, tuple[int, ...]]], path: Path) -> None:
    kinds = [kind for kind in _KINDS if kind is Component.HEAD or any(name.startswith(f"{kind}.") for name in found)]
    wanted = {f"{kind}.{part}": dtype for kind in kinds for part, dtype in _PARTS.items()}
    if {name: dtype for name, (dtype, _) in found.items()} != wanted:
        shown = ", ".join(f"{name[:80]!r} ({dtype[:16]})" for name, (dtype, _) in sorted(found.items())[:12])
        raise TracingError(f"{path}: holds {shown or 'no tensors'}; wanted {', '.join(sorted(wanted))}")
    for kind in kinds:
        shapes = {found[f"{kind}.{part}"][1] for part in _PARTS}
        if len(shapes) != 1 or any(len(shape) != 2 or 0 in shape for shape in shapes):
            raise TracingError(f"{path}: {kind} tensors have shapes {sorted(shapes)}; wanted one, (layers, {kind}s)")
    if len({found[f"{kind}.mean"][1][0] for kind in kinds}) != 1:
        raise TracingError(f"{path}: heads and neurons have different numbers of layers; wanted the same")


def _grid(kind: Component, tensors: dict[str, Tensor]) -> EffectGrid:
    parts = {part: tensors[f"{kind}.{part}"] for part in _PARTS}
    return EffectGrid(
        component=kind,
        mean=parts["mean"],
        standard_error=parts["standard_error"],
        measured=parts["measured"],
        exact=parts["exact"],
    )
