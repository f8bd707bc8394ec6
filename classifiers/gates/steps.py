"""The curve of a gate, exactly: strengths are multiples of 1/16, so it is a staircase over the harm potential."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from breakers.gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStep:
    """One strength, and the harm potentials that get it: from `harm_potential` to the next step."""

    harm_potential: float
    """The lowest that gets this strength."""
    strength: float
    benign: float
    """Share of the benign prompts that are on this step; nan without any."""
    other: float
    """Share of the other prompts; nan without any."""


def gate_steps(
    gate: Gate, harm_potential: Float64[np.ndarray, " prompt"], benign: Bool[np.ndarray, " prompt"]
) -> list[GateStep]:
    """The steps in order, the first from 0 on; and how many of some prompts are on each."""
    starts = _starts(gate)
    step = np.searchsorted(np.array(starts), harm_potential, side="right") - 1
    return [
        GateStep(
            harm_potential=start,
            strength=gate.strength(start),
            benign=_share(step[benign] == at),
            other=_share(step[~benign] == at),
        )
        for at, start in enumerate(starts)
    ]


def _starts(gate: Gate) -> list[float]:
    """The harm potentials at which the strength rises, 0 first."""
    starts = [0.0]
    while gate.strength(starts[-1]) < gate.strength(1.0):
        starts.append(_next_rise(gate, starts[-1]))
    return starts


def _next_rise(gate: Gate, start: float) -> float:
    """The lowest number above `start` with a greater strength, to the last bit: strengths never fall."""
    low, high, strength = start, 1.0, gate.strength(start)
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return high
        if gate.strength(middle) > strength:
            high = middle
        else:
            low = middle


def _share(chosen: Bool[np.ndarray, " prompt"]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")
