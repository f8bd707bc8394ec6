"""Screening: estimates for every component, then exact patching of the best, and how far the two agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.errors import TracingError
from breakers.sites import Component, Site
from breakers.tracing.effects import ComponentEffects
from breakers.tracing.effects_file import EffectsTable, index_of
from breakers.tracing.measure import PatchedMeasure
from breakers.tracing.patches import TraceCase
from breakers.tracing.patching import PatchingProgress, StopRule, exact_effects


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningConfig:
    """How many of the best are wanted, and how many candidates are verified for them."""

    top_heads: int = 10
    top_neurons: int = 20
    factor: float = 1.5
    """Candidates for each component that is wanted: an estimate's rank may be off by a share of the rank."""
    spare: int = 5
    """Candidates more, because the first few ranks can be off by more than a share of themselves."""

    def __post_init__(self) -> None:
        if self.top_heads < 0 or self.top_neurons < 0 or self.top_heads + self.top_neurons < 1:
            found = f"{self.top_heads} heads and {self.top_neurons} neurons"
            raise TracingError(f"{found} are wanted of screening; wanted at least one component")
        if not self.factor >= 1 or self.spare < 0:
            raise TracingError(f"factor is {self.factor}, spare {self.spare}; wanted at least 1 and at least 0")

    def top(self, component: Component) -> int:
        """How many of the best of a kind are wanted."""
        return self.top_heads if component is Component.HEAD else self.top_neurons

    def candidates(self, component: Component) -> int:
        """How many of a kind are verified: factor times those wanted, and the spare ones; none if none is wanted."""
        top = self.top(component)
        return int(self.factor * top + 0.5) + self.spare if top else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningResult:
    """The best components, verified."""

    exact: ComponentEffects
    """Of the candidates, in the order of their estimates, heads first."""
    rank_correlation: float | None
    """Of the candidates' estimates with their exact effects, heads and neurons together; None for fewer than three.

    Candidates are alike in their estimates, so this is lower than it would be over all components.
    """


def screen(
    measure: PatchedMeasure,
    cases: Sequence[TraceCase],
    estimated: EffectsTable,
    config: ScreeningConfig,
    *,
    stop: StopRule | None = None,
    on_progress: Callable[[PatchingProgress], None] | None = None,
) -> ScreeningResult:
    """Verify the best by estimate with exact patching.

    Args:
        measure: the lead, or H; estimates are of the lead, and only their order counts here.
        cases: that the effects are means over.
        estimated: of every component, from `attribute`.
        config: how many.
        stop: see `exact_effects`.
        on_progress: told after each batch of cases.

    Raises:
        TracingError: nothing to verify, or see `exact_effects`.
    """
    sites = candidates(estimated, config)
    if not sites:
        raise TracingError("no component has an estimate; wanted at least one to verify")
    exact = exact_effects(measure, cases, sites, stop=stop, on_progress=on_progress)
    estimates = torch.stack([estimated.grid(site.component).mean[index_of(site)] for site in sites])
    return ScreeningResult(exact=exact, rank_correlation=rank_correlation(estimates, exact.mean))


def candidates(estimated: EffectsTable, config: ScreeningConfig) -> list[Site]:
    """The best of each kind by estimate, as many as the rule of `config` says."""
    chosen: list[Site] = []
    for grid in estimated.grids:
        chosen += [site for site, _ in itertools.islice(grid.ranked(), config.candidates(grid.component))]
    return chosen


def rank_correlation(a: Float[Tensor, " site"], b: Float[Tensor, " site"]) -> float | None:
    """Spearman's, with mean ranks for ties; None for fewer than three values, or where all on one side are equal."""
    if len(a) < 3:
        return None
    ranks = torch.stack([_mean_ranks(a), _mean_ranks(b)])
    centred = ranks - ranks.mean(1, keepdim=True)
    norms = centred.norm(dim=1)
    if float(norms.min()) == 0:
        return None
    return float((centred[0] @ centred[1]) / norms.prod())


def top_recall(
    estimates: Float[Tensor, " site"], exact: Float[Tensor, " site"], top: int, candidates: int | None = None
) -> float:
    """The share of the `top` best by exact effect that are among the best `candidates` by estimate.

    Args:
        estimates: of each site.
        exact: of the same sites.
        top: how many of the best are looked for; at most as many as there are sites.
        candidates: how many are looked at; `top` by default.

    Raises:
        TracingError: there are fewer sites than `top`, or none is looked for.
    """
    if not 1 <= top <= len(exact) or len(estimates) != len(exact):
        raise TracingError(f"the top {top} of {len(exact)} sites, {len(estimates)} estimated; wanted 1 to as many")
    looked_at = min(len(exact), top if candidates is None else candidates)
    best = set(exact.topk(top).indices.tolist())
    return len(best & set(estimates.topk(looked_at).indices.tolist())) / top


def _mean_ranks(values: Float[Tensor, " site"]) -> Float[Tensor, " site"]:
    """Ranks from 0; equal values share the mean of theirs."""
    _, group, count = torch.unique(values, sorted=True, return_inverse=True, return_counts=True)
    last = count.cumsum(0) - 1
    shared: Tensor = (last - (count - 1) / 2).double()
    return shared[group]
