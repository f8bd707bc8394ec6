"""From the members of a circuit, one head or neuron each, to the sites that interventions are trained at."""

from __future__ import annotations

from collections.abc import Iterable

from breakers.errors import SiteError
from breakers.sites import Component, Site


def circuit_sites(members: Iterable[Site]) -> tuple[Site, ...]:
    """One site for each head, and one for all neurons of a layer (or of a routed expert); by layer, heads first.

    Raises:
        SiteError: there is no member.
    """
    heads: set[Site] = set()
    others: set[Site] = set()
    neurons: dict[tuple[int, int | None], set[int]] = {}
    for site in members:
        if site.neurons is not None:
            neurons.setdefault((site.layer, site.expert), set()).update(site.neurons)
        else:
            (heads if site.component is Component.HEAD else others).add(site)
    if not heads and not others and not neurons:
        raise SiteError("the circuit has no members; wanted at least one head or neuron")
    sets = [
        Site(layer=layer, component=Component.NEURON, neurons=tuple(sorted(which)), expert=expert)
        for (layer, expert), which in neurons.items()
    ]
    return tuple(sorted([*heads, *sets, *others], key=_order))


def _order(site: Site) -> tuple[int, int, int]:
    kind = list(Component).index(site.component)
    which = site.head if site.head is not None else site.expert
    return site.layer, kind, -1 if which is None else which
