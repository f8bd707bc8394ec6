"""Sets to compare a circuit with: as many heads and as many neurons, chosen by chance or by activation norm."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from breakers.errors import TracingError
from breakers.sites import Component, Site

Members = tuple[Site, ...]
Kind = TypeVar("Kind")


def random_sets(
    circuit: Sequence[Site], universe: Sequence[Site], count: int, seed: int, *, same_layers: bool = False
) -> tuple[Members, ...]:
    """Sets of the same composition, each drawn from all components; they may overlap with the circuit.

    Args:
        circuit: single sites.
        universe: all components, among them the circuit's.
        count: how many sets.
        seed: of the draws.
        same_layers: as many heads and neurons in each layer as the circuit has there, not in the whole model only.

    Raises:
        TracingError: the universe has too few components.
    """
    draw = random.Random(seed)

    def kind(site: Site) -> tuple[Component, int]:
        return site.component, site.layer if same_layers else 0

    wanted, pools = Counter(map(kind, circuit)), _grouped(universe, kind)
    return tuple(
        tuple(site for key, number in wanted.items() for site in _sample(draw, pools.get(key, []), number))
        for _ in range(count)
    )


def top_set(circuit: Sequence[Site], universe: Sequence[Site], scores: Sequence[float]) -> Members:
    """As many heads and as many neurons as the circuit has, those with the highest scores; ties in their order.

    Args:
        circuit: single sites.
        universe: all components.
        scores: of each of them.

    Raises:
        TracingError: the universe has too few components.
    """
    order = sorted(range(len(universe)), key=lambda at: -scores[at])
    pools = _grouped([universe[at] for at in order], lambda site: site.component)
    wanted = Counter(site.component for site in circuit)
    return tuple(site for key, number in wanted.items() for site in _first(pools.get(key, []), number))


def _grouped(sites: Sequence[Site], kind: Callable[[Site], Kind]) -> dict[Kind, list[Site]]:
    groups: dict[Kind, list[Site]] = {}
    for site in sites:
        groups.setdefault(kind(site), []).append(site)
    return groups


def _sample(draw: random.Random, pool: Sequence[Site], number: int) -> list[Site]:
    _check(pool, number)
    return draw.sample(pool, number)


def _first(pool: Sequence[Site], number: int) -> Sequence[Site]:
    _check(pool, number)
    return pool[:number]


def _check(pool: Sequence[Site], number: int) -> None:
    if len(pool) < number:
        raise TracingError(
            f"{number} components are to be drawn from {len(pool)}; wanted at least as many to choose from"
        )
