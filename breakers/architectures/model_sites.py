"""The sites of one loaded model: what `resolve_sites` finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from torch import nn

from breakers.architectures.experts import ExpertLayer
from breakers.errors import SiteError
from breakers.sites import Boundary, Component, HookPoint, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSites:
    """The sites of one loaded model."""

    model_type: str
    layers: int
    heads: int
    d_head: int
    d_model: int
    d_mlp: int | None
    """Neurons of a layer outside routed experts; None where layers differ or a layer has none (see `width`)."""
    no_neurons: str = ""
    """Why `d_mlp` is None."""
    no_experts: str = ""
    """Why no layer has expert sites."""
    modules: dict[HookPoint, nn.Module] = field(repr=False)
    """Of every hook point but those of experts."""
    mlp_widths: dict[int, int] = field(repr=False)
    """Layer -> neurons outside routed experts, for the layers that have any."""
    experts: dict[int, ExpertLayer] = field(repr=False)
    """Layer -> routed experts, for the layers that have any."""

    def width(self, point: HookPoint) -> int:
        """Channels at a hook point.

        Raises:
            SiteError: the model has no such hook point.
        """
        self.module(point)
        if point.boundary is Boundary.ATTENTION_OUT_INPUT:
            return self.heads * self.d_head
        if point.boundary is Boundary.MLP_DOWN_INPUT:
            return self.mlp_widths[point.layer]
        if point.boundary is Boundary.EXPERT_DOWN_INPUT:
            return self.experts[point.layer].width
        return self.d_model

    def module(self, point: HookPoint) -> nn.Module:
        """The module whose input (projections) or output (blocks) is the hook point's activation.

        For an expert it is the layer's experts module, inside which the activation is (see `breakers.experts`).

        Raises:
            SiteError: the model has no such hook point.
        """
        if not 0 <= point.layer < self.layers:
            raise SiteError(f"{point}: this model has layers 0 to {self.layers - 1}")
        if point.boundary is Boundary.EXPERT_DOWN_INPUT:
            return self._experts(point).module
        if point not in self.modules:
            raise SiteError(f"{point}: {self.model_type} has no such neuron sites: {self.no_neurons}")
        return self.modules[point]

    def channels(self, site: Site) -> list[int]:
        """The indices of a site's channels within its hook point.

        Raises:
            SiteError: the layer, head, expert or neuron does not exist.
        """
        width = self.width(site.hook_point)
        if site.component is Component.HEAD:
            head = cast(int, site.head)
            if head >= self.heads:
                raise SiteError(f"{site}: this model has heads 0 to {self.heads - 1}")
            return list(range(head * self.d_head, (head + 1) * self.d_head))
        if site.component is Component.NEURON:
            neurons = cast(tuple[int, ...], site.neurons)
            if neurons[-1] >= width:
                raise SiteError(f"{site}: names neuron {neurons[-1]}; this model has neurons 0 to {width - 1}")
            return list(neurons)
        return list(range(width))

    def _experts(self, point: HookPoint) -> ExpertLayer:
        found = self.experts.get(point.layer)
        if found is None:
            reason = self.no_experts or f"layers with experts are {_listed(self.experts)}"
            raise SiteError(f"{point}: {self.model_type} has no expert sites there: {reason}")
        if not 0 <= cast(int, point.expert) < found.count:
            raise SiteError(f"{point}: this model has experts 0 to {found.count - 1}")
        return found


def _listed(layers: dict[int, ExpertLayer]) -> str:
    first, last = min(layers), max(layers)
    if len(layers) > 2 and len(layers) == last - first + 1:
        return f"{first} to {last}"
    return ", ".join(str(layer) for layer in sorted(layers))
