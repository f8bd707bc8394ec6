"""The scale that figures share: symmetric around 0, so that a colour's side is an effect's sign."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int

from breakers.tracing.effects_file import EffectGrid

STEPS = 5
"""Shades on each side of 0."""
PLOTTED_NEURONS = 1500
"""Dots of a neuron plot; the others lie nearer to 0 and could not be told apart."""


def limit_of(grid: EffectGrid) -> float:
    """The largest absolute effect; 1 where all are 0, so that a scale exists."""
    largest = float(grid.mean.abs().max())
    return largest if largest > 0 else 1.0


def cell_text(effect: float, limit: float) -> str:
    """An effect with three digits of the largest one, so that cells can be compared."""
    return f"{effect:+.{max(0, 2 - math.floor(math.log10(limit)))}f}"


def shade(effect: float, limit: float) -> str:
    """`z` for 0, else `p1` to `p5` for harm lowered by a patch and `n1` to `n5` for harm raised."""
    if effect == 0:
        return "z"
    step = min(STEPS, max(1, math.ceil(STEPS * abs(effect) / limit)))
    return f"{'p' if effect > 0 else 'n'}{step}"


def largest(grid: EffectGrid, count: int) -> Int[torch.Tensor, "chosen 2"]:
    """(layer, index) of the measured components furthest from 0, in the order of the grid."""
    measured = int(grid.measured.sum())
    # -1 is below every absolute value: what was not measured is never chosen.
    distance = torch.where(grid.measured, grid.mean.abs(), -1.0).flatten()
    chosen = distance.topk(min(count, measured)).indices.sort().values
    width = grid.mean.shape[1]
    return torch.stack([chosen // width, chosen % width], 1)
