"""From timings and effects to figures; pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from breakers.sites import Component
from breakers.tracing.screening import ScreeningConfig, rank_correlation, top_recall

OURS, LENS = "ours", "transformer_lens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One contender's exact patching of all heads, in one round."""

    seconds: float
    passes: float
    """Forward-pass equivalents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """Estimates for all heads and neurons, with verification of the candidates, in one round."""

    seconds: float
    passes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Estimated and exact mean effects of all components of one kind."""

    estimated: Float[Tensor, " site"]
    exact: Float[Tensor, " site"]


def heads_figures(rounds: Mapping[str, Sequence[Timed]]) -> dict[str, float]:
    """Contender -> rounds; medians and spread, and how many times as fast ours is in the same round."""
    figures: dict[str, float] = {}
    for name, timed in rounds.items():
        seconds = [each.seconds for each in timed]
        figures[f"heads.{name}.seconds"] = statistics.median(seconds)
        figures[f"heads.{name}.seconds.least"] = min(seconds)
        figures[f"heads.{name}.seconds.most"] = max(seconds)
        figures[f"heads.{name}.passes"] = timed[0].passes
        if name != OURS:
            ratios = [theirs.seconds / ours.seconds for theirs, ours in zip(timed, rounds[OURS], strict=True)]
            figures[f"heads.times_as_fast_as.{name}"] = statistics.median(ratios)
    return figures


def screen_figures(
    screened: Sequence[Screened], lens_heads: float, lens_sample: float, sampled: int, neurons: int
) -> dict[str, float]:
    """Screening against TransformerLens' exact patching of everything.

    Args:
        screened: rounds of ours.
        lens_heads: its seconds for all heads, measured.
        lens_sample: its seconds for the sampled neurons.
        sampled: how many those were.
        neurons: how many there are; its time for them is extrapolated.
    """
    # Two passes more than neurons: the contrast run and the unmodified one.
    extrapolated = lens_heads + lens_sample / (sampled + 2) * neurons
    seconds = statistics.median(each.seconds for each in screened)
    return {
        "screen.seconds": seconds,
        "screen.passes": screened[0].passes,
        "screen.transformer_lens.seconds.extrapolated": extrapolated,
        "screen.transformer_lens.neurons_sampled": float(sampled),
        "screen.times_as_fast": extrapolated / seconds,
    }


def agreement_figures(heads: Agreement, neurons: Agreement, config: ScreeningConfig) -> dict[str, float]:
    """Rank correlation over all components; recall of the best among those that screening verifies."""
    figures: dict[str, float] = {}
    found = wanted = 0.0
    for name, each, kind in (("heads", heads, Component.HEAD), ("neurons", neurons, Component.NEURON)):
        top, size = config.top(kind), config.candidates(kind)
        correlation = rank_correlation(each.estimated, each.exact)
        figures[f"{name}.rank_correlation"] = float("nan") if correlation is None else correlation
        figures[f"{name}.recall"] = top_recall(each.estimated, each.exact, top)
        figures[f"{name}.recall.verified"] = top_recall(each.estimated, each.exact, top, size)
        found += top * figures[f"{name}.recall.verified"]
        wanted += top
    return figures | {"screen.recall": found / wanted}


def furthest(found: Mapping[str, Float[Tensor, "case site"]]) -> dict[str, float]:
    """The largest difference of each contender's effects from ours, in nats."""
    return {name: float((each - found[OURS]).abs().max()) for name, each in found.items() if name != OURS}
