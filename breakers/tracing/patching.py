"""Exact activation patching of single components: every one of them patched by itself, on case after case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.errors import NonFiniteError, TracingError
from breakers.sites import Site
from breakers.tracing.effects import ComponentEffects
from breakers.tracing.measure import PatchedMeasure
from breakers.tracing.patches import Patch, TraceCase


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """Stop before the cases are used up when the top `top` sites, as a set, would not change with other cases.

    The cases seen so far are resampled with replacement; the set is settled when at least `confidence` of the
    resamples have the same one. Looking after every batch makes an early stop a little more likely than that says.
    """

    top: int = 10
    confidence: float = 0.95
    least: int = 32
    """Cases before the first look."""
    resamples: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        if self.top < 1 or self.least < 2 or self.resamples < 1 or not 0 < self.confidence <= 1:
            raise TracingError(
                f"a stop rule has top={self.top}, least={self.least}, resamples={self.resamples}, confidence="
                f"{self.confidence}; wanted at least 1, 2 and 1, and a share of at most 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchingProgress:
    """Where exact patching stands, after a batch of cases."""

    cases: int
    of: int
    settled: float | None
    """Share of resamples with the same top set; None without a stop rule or before its first look."""


def exact_effects(
    measure: PatchedMeasure,
    cases: Sequence[TraceCase],
    sites: Sequence[Site],
    *,
    batch: int = 32,
    stop: StopRule | None = None,
    on_progress: Callable[[PatchingProgress], None] | None = None,
) -> ComponentEffects:
    """CausalEffect of each site on each case: the measure of the unmodified model less that under the patch.

    Args:
        measure: the lead, or H of generated text.
        cases: taken in this order; with a stop rule they should be shuffled, or the first ones speak for the rest.
        sites: one head or one neuron each, or sets that are patched together.
        batch: cases between two looks of the stop rule, and two calls of `on_progress`.
        stop: when to leave cases out; None uses all of them.
        on_progress: told after each batch.

    Raises:
        TracingError: no cases or no sites, or cases that cannot be patched.
        NonFiniteError: naming the layer, and the case by its place in `cases`.
        SiteError: the model has no such site.
    """
    if not cases or not sites:
        raise TracingError(f"there are {len(cases)} cases and {len(sites)} sites; wanted at least one of each")
    patches: list[Patch] = [(), *((site,) for site in sites)]
    found: list[Tensor] = []
    for low in range(0, len(cases), batch):
        try:
            values = measure(cases[low : low + batch], patches)
        except NonFiniteError as error:
            raise NonFiniteError(error.where, low + error.case) from error
        found.append((values[0] - values[1:]).T)
        done = min(low + batch, len(cases))
        settled = None
        if stop is not None and done >= stop.least:
            settled = settled_share(torch.cat(found), stop)
        if on_progress is not None:
            on_progress(PatchingProgress(cases=done, of=len(cases), settled=settled))
        if stop is not None and settled is not None and settled >= stop.confidence:
            break
    return ComponentEffects(sites=tuple(sites), by_case=torch.cat(found))


def settled_share(by_case: Float[Tensor, "case site"], stop: StopRule) -> float:
    """Share of bootstrap resamples of the cases whose top sites are the same set as those of all cases.

    1 where there are no more sites than `stop.top`.
    """
    cases, sites = by_case.shape
    if sites <= stop.top:
        return 1.0
    draw = torch.Generator().manual_seed(stop.seed)
    drawn = torch.randint(cases, (stop.resamples, cases), generator=draw)
    weights = torch.zeros(stop.resamples, cases, dtype=torch.float64)
    weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
    means = weights @ by_case.double() / cases
    top = by_case.double().mean(0).topk(stop.top).indices.sort().values
    resampled = means.topk(stop.top, dim=1).indices.sort(dim=1).values
    return float((resampled == top).all(1).double().mean())
