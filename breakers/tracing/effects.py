"""Causal effects of single components: CausalEffect = measure of the unmodified model - measure patched."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from breakers.sites import Component, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentEffects:
    """Effects of some components on the cases that were traced."""

    sites: tuple[Site, ...]
    """One head or one neuron each."""
    by_case: Float[Tensor, "case site"]
    """CausalEffect of each case; positive where patching lowers the harm."""

    @property
    def mean(self) -> Float[Tensor, " site"]:
        """Over cases."""
        return self.by_case.mean(0)

    @property
    def standard_error(self) -> Float[Tensor, " site"]:
        """Of the mean, over cases; 0 with a single case."""
        count = len(self.by_case)
        return self.by_case.std(0) / count**0.5 if count > 1 else self.by_case.new_zeros(len(self.sites))

    def ranked(self) -> list[tuple[Site, float]]:
        """Sites by mean effect, the highest first; ties in the order of `sites`."""
        means = self.mean.tolist()
        return [(self.sites[at], means[at]) for at in sorted(range(len(means)), key=lambda at: -means[at])]


def head_site(layer: int, head: int) -> Site:
    """One query head."""
    return Site(layer=layer, component=Component.HEAD, head=head)


def neuron_site(layer: int, neuron: int) -> Site:
    """One neuron."""
    return Site(layer=layer, component=Component.NEURON, neurons=(neuron,))
