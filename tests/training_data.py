"""Made-up pairs and samples of tiny models, for tests of training."""

from __future__ import annotations

import torch

from breakers.sites import Component, Site
from breakers.training.batches import Pair, Sample


def made_up(first: int, count: int, seed: int = 0, length: int = 5) -> list[tuple[int, ...]]:
    """Prompts that begin with one token and go on at random, all different."""
    draw = torch.Generator().manual_seed(seed + first)
    return [(first, *torch.randint(10, 90, (length,), generator=draw).tolist()) for _ in range(count)]


def pairs_of(prompts: list[tuple[int, ...]], harmful: int = 20, neutral: int = 30) -> list[Pair]:
    """One token decides; 2 ends a reply."""
    return [
        Pair(harmful=Sample(prompt=p, reply=(harmful, 2)), neutral=Sample(prompt=p, reply=(neutral, 33, 2)))
        for p in prompts
    ]


def benign_of(prompts: list[tuple[int, ...]]) -> list[Sample]:
    """The same reply to each."""
    return [Sample(prompt=prompt, reply=(40, 41, 2)) for prompt in prompts]


def head(layer: int, index: int) -> Site:
    """One query head."""
    return Site(layer=layer, component=Component.HEAD, head=index)


def neurons(layer: int, *which: int) -> Site:
    """A set of neurons."""
    return Site(layer=layer, component=Component.NEURON, neurons=which)
