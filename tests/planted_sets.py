"""Measures whose minimal sets are known by construction: harm as a function of the set of patched components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from breakers.refinement.joint import single_sites
from breakers.sites import Site
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.patches import Patch, TraceCase
from breakers.training.batches import Pair, Sample


def components(count: int, heads: int = 0) -> tuple[Site, ...]:
    """Single sites: `heads` heads of layer 0, then neurons, four in each layer."""
    neurons = [neuron_site(n // 4, n % 4) for n in range(count - heads)]
    return (*(head_site(0, head) for head in range(heads)), *neurons)


def some_cases(count: int = 1) -> tuple[TraceCase, ...]:
    """Cases that only their number matters of."""
    prompts = [(n + 5, n + 6) for n in range(count)]
    return tuple(
        TraceCase(pair=Pair(harmful=Sample(prompt=p, reply=(1, 2)), neutral=Sample(prompt=p, reply=(3, 2))))
        for p in prompts
    )


class PlantedMeasure:
    """`harm(patched components, case number)` as a measure; counts what it is asked."""

    def __init__(self, harm: Callable[[frozenset[Site], int], float]) -> None:
        self._harm = harm
        self.patches: list[Patch] = []

    def __call__(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> torch.Tensor:
        self.patches += patches
        sets = [frozenset(single_sites(patch)) for patch in patches]
        return torch.tensor([[self._harm(members, case) for case in range(len(cases))] for members in sets])


def reaching(sets: Sequence[frozenset[Site]]) -> PlantedMeasure:
    """Harm 1, and 0 once any of these sets is patched as a whole: an OR of ANDs."""
    return PlantedMeasure(lambda patched, _case: 0.0 if any(wanted <= patched for wanted in sets) else 1.0)


def additive(weights: Mapping[Site, float], clean: float) -> PlantedMeasure:
    """Each component takes its own weight off the harm."""
    return PlantedMeasure(lambda patched, _case: clean - sum(weights.get(site, 0.0) for site in patched))
