"""Where in a model an intervention acts: sites, and the hook points that realise them.

A site is a value that can be written to JSON and compared; it knows nothing of modules. Which module realises
it, and how wide that is, is the business of `breakers.architectures`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum

from breakers.errors import SiteError


class Component(StrEnum):
    """What a site is made of."""

    HEAD = "head"
    """One query head's output z, before the attention output projection (width d_head)."""
    NEURON = "neuron"
    """A set of MLP activations entering the down projection (width: the set's size): of a dense MLP or a mixture's
    shared expert, or of one routed expert where the site names it."""
    RESID = "resid"
    """resid_post: the residual stream after the decoder block (width d_model)."""


class Boundary(StrEnum):
    """The module boundary that realises a component."""

    ATTENTION_OUT_INPUT = "attention_out_input"
    MLP_DOWN_INPUT = "mlp_down_input"
    EXPERT_DOWN_INPUT = "expert_down_input"
    """The down projection of one routed expert; only the tokens routed to it pass here."""
    BLOCK_OUTPUT = "block_output"


BOUNDARY_OF = {
    Component.HEAD: Boundary.ATTENTION_OUT_INPUT,
    Component.NEURON: Boundary.MLP_DOWN_INPUT,
    Component.RESID: Boundary.BLOCK_OUTPUT,
}


@dataclass(frozen=True, slots=True, order=True)
class HookPoint:
    """A module boundary: all sites of one component in one layer share it, and there is one bank per hook point."""

    layer: int
    boundary: Boundary
    expert: int | None = None
    """For boundary `expert_down_input` only."""

    def __str__(self) -> str:
        return f"layer {self.layer} {self.boundary.value}" + ("" if self.expert is None else f" {self.expert}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """(layer, component, index): where an intervention reads and writes."""

    layer: int
    """0-based decoder block."""
    component: Component
    head: int | None = None
    """Query head, for component `head` only."""
    neurons: tuple[int, ...] | None = None
    """Strictly increasing neuron indices, for component `neuron` only."""
    expert: int | None = None
    """Routed expert, for component `neuron` only; None for the neurons of a dense MLP or of a shared expert."""

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise SiteError(f"site layer is {self.layer}; wanted 0 or more")
        if (self.head is not None) != (self.component is Component.HEAD):
            raise SiteError(f"a {self.component} site has head={self.head}; `head` belongs to head sites only")
        if (self.neurons is not None) != (self.component is Component.NEURON):
            found = None if self.neurons is None else f"{len(self.neurons)} of them"
            raise SiteError(f"a {self.component} site has neurons={found}; they belong to neuron sites only")
        if self.head is not None and self.head < 0:
            raise SiteError(f"site head is {self.head}; wanted 0 or more")
        if self.neurons is not None:
            _check_neurons(self.neurons)
        if self.expert is not None and (self.component is not Component.NEURON or self.expert < 0):
            raise SiteError(
                f"a {self.component} site has expert={self.expert}; wanted 0 or more, for neuron sites only"
            )

    @property
    def hook_point(self) -> HookPoint:
        """The boundary that realises this site."""
        if self.expert is not None:
            return HookPoint(self.layer, Boundary.EXPERT_DOWN_INPUT, self.expert)
        return HookPoint(self.layer, BOUNDARY_OF[self.component])

    def __str__(self) -> str:
        if self.head is not None:
            return f"layer {self.layer} head {self.head}"
        if self.neurons is not None:
            owner = "" if self.expert is None else f" expert {self.expert}"
            return f"layer {self.layer}{owner} neurons ({len(self.neurons)})"
        return f"layer {self.layer} resid"


def _check_neurons(neurons: tuple[int, ...]) -> None:
    if not neurons:
        raise SiteError("a neuron site names no neurons; wanted at least one")
    if neurons[0] < 0 or any(b <= a for a, b in itertools.pairwise(neurons)):
        raise SiteError("neuron indices must be 0 or more and strictly increasing")
