"""Sets of heads and single neurons, and the patch that measures one jointly.

A set is written as single components, one site each. A patch has one site for each head, and one for the neurons that
share a hook point, so that a set of many neurons is few edits of the forward pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from breakers.errors import TracingError
from breakers.sites import Component, HookPoint, Site
from breakers.tracing.effects import head_site
from breakers.tracing.patches import Patch


def joint_patch(sites: Iterable[Site]) -> Patch:
    """One patch of all these sites: each head once, and the neurons of a hook point as one site.

    Equal sets give equal patches, whatever their order and however their neurons are grouped.

    Raises:
        TracingError: a site is neither a head nor made of neurons.
    """
    heads: set[tuple[int, int]] = set()
    neurons: dict[HookPoint, set[int]] = {}
    for site in sites:
        if site.head is not None:
            heads.add((site.layer, site.head))
        elif site.neurons is not None:
            neurons.setdefault(site.hook_point, set()).update(site.neurons)
        else:
            raise TracingError(f"{site} is no component of a circuit; wanted heads and neurons")
    points = sorted(neurons, key=lambda point: (point.layer, -1 if point.expert is None else point.expert))
    merged = [
        Site(layer=p.layer, component=Component.NEURON, neurons=tuple(sorted(neurons[p])), expert=p.expert)
        for p in points
    ]
    return (*(head_site(layer, head) for layer, head in sorted(heads)), *merged)


def single_sites(sites: Iterable[Site]) -> tuple[Site, ...]:
    """The heads and single neurons of some sites, each once, in the order of `joint_patch`."""
    singles: list[Site] = []
    for site in joint_patch(sites):
        if site.neurons is None:
            singles.append(site)
        else:
            singles += [
                Site(layer=site.layer, component=Component.NEURON, neurons=(neuron,), expert=site.expert)
                for neuron in site.neurons
            ]
    return tuple(singles)


def set_digest(sites: Iterable[Site]) -> str:
    """`sha256:` and 64 hex digits: the same for equal sets, however they are written."""
    rows = [[site.layer, site.component.value, site.head, site.neurons, site.expert] for site in joint_patch(sites)]
    return f"sha256:{hashlib.sha256(json.dumps(rows).encode()).hexdigest()}"


def count_heads(members: Sequence[Site]) -> int:
    """How many of these single sites are heads; the others are neurons."""
    return sum(site.component is Component.HEAD for site in members)
