"""Attribution patching: the effects of all heads and all neurons at once, to first order, from a few gradients.

The effect of replacing z by z' at one component is m(z) - m(z'), and to first order gradient(m, z) . (z - z'), summed
over the patched positions and the component's channels (Nanda 2023). With integrated gradients the gradient is a mean
over points between z and z' (Sundararajan et al. 2017; for circuits Hanna et al. 2024). m is the lead: the mean
log-probability of the harmful completion less that of the neutral one, each run with its own gradient.

Parameters are frozen while gradients are taken, and are as they were on leaving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import TracingError
from breakers.sites import Boundary, Component, HookPoint
from breakers.tracing.activations import Activations, capture, check_finite, head_rows, on_device_of
from breakers.tracing.effects_file import EffectGrid, EffectsTable, grid_shape
from breakers.tracing.patches import PatchSource, TraceCase
from breakers.tracing.sources import PAD, Side, Sources, real_positions, runs
from breakers.training.batches import collate
from breakers.training.losses import mean_logprob

_SIGNS = {Side.HARMFUL: 1.0, Side.NEUTRAL: -1.0}
"""Of a run's mean log-probability in the lead."""


class AttributionPath(StrEnum):
    """At which activations gradients are taken."""

    START = "start"
    """The unmodified model's: plain attribution patching, one pass."""
    TOGETHER = "together"
    """Every hook point of the kind moves from z to z' at once: as many passes as steps."""
    POINT = "point"
    """One hook point moves, the others follow by themselves: layers times steps passes. As steps grow, the estimates
    of a hook point sum to the effect of replacing all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionConfig:
    """How to attribute. The defaults agree best with exact patching on the demo model, see docs/tracing.md."""

    heads: AttributionPath = AttributionPath.POINT
    """A whole head's change is large: one gradient half way says more than one at its start."""
    neurons: AttributionPath = AttributionPath.START
    """A single neuron's change is small: its effect is that of the gradient where it starts."""
    steps: int = 1
    """Points of the paths that move, at the middles of equal parts of them."""

    def __post_init__(self) -> None:
        moves = {self.heads, self.neurons} != {AttributionPath.START}
        if self.steps < 1 or (self.steps > 1 and not moves):
            wanted = "at least 1" if moves else "1, because path start is one point"
            raise TracingError(f"steps is {self.steps}; wanted {wanted}")

    @property
    def fractions(self) -> list[float]:
        """How far along a path that moves each gradient is taken, from 0 at z to 1 at z'."""
        return [(step + 0.5) / self.steps for step in range(self.steps)]

    def path(self, point: HookPoint) -> AttributionPath:
        """The path of a hook point."""
        return self.heads if point.boundary is Boundary.ATTENTION_OUT_INPUT else self.neurons


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """Estimated effects of every head and every dense neuron, by case."""

    heads: Float[Tensor, "case layer head"]
    neurons: Float[Tensor, "case layer neuron"]
    """0 where a layer has fewer neurons than the widest."""
    neurons_present: Bool[Tensor, "layer neuron"]
    """Which neurons exist."""
    forward_passes: float
    """Cost, in forward passes of one run (prompt and completion); going back for a gradient is another one."""

    def table(self) -> EffectsTable:
        """Means and standard errors, none of them exact."""
        heads = _grid(Component.HEAD, self.heads, torch.ones(self.heads.shape[1:], dtype=torch.bool))
        if not self.neurons.shape[2]:
            return EffectsTable(heads=heads, neurons=None)
        return EffectsTable(heads=heads, neurons=_grid(Component.NEURON, self.neurons, self.neurons_present))


def attribute(
    model: PreTrainedModel,
    sites: ModelSites,
    sources: Sources,
    cases: Sequence[TraceCase],
    config: AttributionConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Attributed:
    """Estimate the effect on the lead of patching each head and each neuron alone.

    Args:
        model: in evaluation mode; its parameters take no gradients meanwhile.
        sites: of that model.
        sources: what is patched in, and where; its `batch_tokens` bound the tokens of a pass.
        cases: at least one.
        config: at which activations gradients are taken.
        progress: called with (cases done, cases).

    Raises:
        TracingError: no cases, a case that the source cannot patch, or gradients that are not finite.
        NonFiniteError: activations that are not finite.
    """
    if not cases:
        raise TracingError("there are no cases; wanted at least one")
    chosen = config or AttributionConfig()
    layers, width = grid_shape(sites, Component.NEURON)
    # Made before the context of the model's device: results are the CPU's.
    heads = torch.zeros(len(cases), layers, sites.heads)
    neurons = torch.zeros(len(cases), layers, width)
    passes, done = 0.0, 0
    with on_device_of(model), frozen(model):
        for places in batched(cases, sources.config.batch_tokens):
            chunk = [cases[place] for place in places]
            for side in Side:
                run = _Run(model, sites, sources, chunk, side, chosen)
                for point, products in run.attributions():
                    _add(
                        heads if point.boundary is Boundary.ATTENTION_OUT_INPUT else neurons, places, point, products
                    )
                passes += run.forward_passes
            done += len(places)
            if progress is not None:
                progress(done, len(cases))
    present = torch.arange(width) < torch.tensor([sites.mlp_widths.get(n, 0) for n in range(layers)])[:, None]
    return Attributed(heads=heads, neurons=neurons, neurons_present=present, forward_passes=passes)


class _Run:
    """The runs of some cases on one of their completions."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        sources: Sources,
        cases: Sequence[TraceCase],
        side: Side,
        config: AttributionConfig,
    ) -> None:
        self._model = model
        self._sites = sites
        self._sources = sources
        self._cases = cases
        self._side = side
        self._config = config
        self._samples = runs(cases, side)
        self._batch = collate(self._samples, PAD)
        self.forward_passes = 0.0
        """Spent so far."""

    def attributions(self) -> Iterator[tuple[HookPoint, Float[Tensor, "case width"]]]:
        """-gradient . (z' - z) of every channel, by hook point; nothing where this side is not patched."""
        points = traced_points(self._sites)
        replacement = self._sources.replacement(self._cases, self._side, points)
        if not bool(replacement.patched.any()):
            return
        if self._sources.config.source is not PatchSource.MEAN:
            self._spend(1.0)
        where = replacement.patched[:, :, None]
        still = [point for point in points if self._config.path(point) is AttributionPath.START]
        if still:
            start, gradients = self._plain(still)
            for point, z in start.items():
                change = torch.where(where, replacement.values[point] - z, 0.0)
                yield point, _products(gradients[point], change)
        moving = [point for point in points if point not in still]
        if moving:
            start = capture(self._model, self._sites, self._batch.ids, moving)
            self._spend(1.0)
            check_finite(start, real_positions(self._samples))
            changes = {p: torch.where(where, replacement.values[p] - z, 0.0) for p, z in start.items()}
            for group in self._groups(moving):
                for point, gradient in self._integrated(group, start, changes, where).items():
                    yield point, _products(gradient, changes[point])

    def _plain(self, points: Sequence[HookPoint]) -> tuple[Activations, Activations]:
        """Activations of the unmodified runs, and gradients there."""
        seen: Activations = {}

        def note(point: HookPoint, z: Tensor) -> Tensor:
            seen[point] = z.detach()
            return z

        gradients = self._gradients(points, note)
        check_finite(seen, real_positions(self._samples))
        return seen, gradients

    def _integrated(
        self, group: Sequence[HookPoint], start: Activations, change: Activations, where: Bool[Tensor, "case pos 1"]
    ) -> Activations:
        """The mean gradient over the path, along which the hook points of `group` move."""
        total: Activations = {}
        for fraction in self._config.fractions:

            def move(point: HookPoint, z: Tensor, fraction: float = fraction) -> Tensor:
                wanted = start[point] + fraction * change[point]
                # The value is replaced, the gradient passes: what lies below still counts through this point.
                return z + torch.where(where, wanted - z.detach(), 0.0)

            for point, gradient in self._gradients(group, move).items():
                share = gradient / self._config.steps
                total[point] = total[point] + share if point in total else share
        return total

    def _gradients(self, points: Sequence[HookPoint], edit: Callable[[HookPoint, Tensor], Tensor]) -> Activations:
        """Gradients of the lead with respect to what `edit` makes of the activations at some hook points."""
        with torch.enable_grad(), differentiable(self._sites, points, edit) as seen:
            with head_rows(self._model, self._batch.targets):
                logits = self._model(input_ids=self._batch.ids, use_cache=False).logits
            lead = _SIGNS[self._side] * mean_logprob(logits.float(), self._batch).sum()
            found = torch.autograd.grad(lead, list(seen.values()))
        lowest = min(point.layer for point in points)
        self._spend(1.0 + (self._sites.layers - lowest) / self._sites.layers)
        gradients = dict(zip(seen, found, strict=True))
        _check_gradients(gradients)
        return gradients

    def _groups(self, points: Sequence[HookPoint]) -> list[list[HookPoint]]:
        together = [point for point in points if self._config.path(point) is AttributionPath.TOGETHER]
        alone = [[point] for point in points if self._config.path(point) is AttributionPath.POINT]
        return [together, *alone] if together else alone

    def _spend(self, passes: float) -> None:
        self.forward_passes += passes * len(self._cases)


def _products(
    gradient: Float[Tensor, "case pos width"], change: Float[Tensor, "case pos width"]
) -> Float[Tensor, "case width"]:
    """m(z) - m(z') to first order, of each channel; summed in fp32 at least."""
    precise = torch.promote_types(gradient.dtype, torch.float32)
    return -torch.einsum("bpw,bpw->bw", gradient.to(precise), change.to(precise))


def traced_points(sites: ModelSites) -> list[HookPoint]:
    """The hook points of all heads and all dense neurons, by layer."""
    heads = [HookPoint(layer, Boundary.ATTENTION_OUT_INPUT) for layer in range(sites.layers)]
    return sorted([*heads, *(HookPoint(layer, Boundary.MLP_DOWN_INPUT) for layer in sites.mlp_widths)])


def batched(cases: Sequence[TraceCase], tokens: int) -> Iterator[list[int]]:
    """Places of cases of similar length: as many as fit a number of tokens when their longer runs are padded.

    Args:
        cases: any number.
        tokens: of one pass; a case that is longer comes alone.
    """
    batch: list[int] = []
    for place in sorted(range(len(cases)), key=lambda place: len(cases[place].pair)):
        if batch and (len(batch) + 1) * len(cases[place].pair) > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Take no gradients with respect to parameters inside; they are then as they were."""
    taking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in taking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in taking:
            parameter.requires_grad_(True)


@contextmanager
def differentiable(
    sites: ModelSites, points: Sequence[HookPoint], edit: Callable[[HookPoint, Tensor], Tensor]
) -> Iterator[Activations]:
    """Edit activations at hook points, and fill a dict with what they became, ready for gradients."""
    seen: Activations = {}

    def pass_by(point: HookPoint, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        z = edit(point, args[0])
        # Nothing below the first hook point takes gradients: the graph begins here.
        seen[point] = z if z.requires_grad else z.detach().requires_grad_()
        return (seen[point], *args[1:])

    with ExitStack() as installed:
        for point in points:
            handle = sites.module(point).register_forward_pre_hook(partial(pass_by, point))
            installed.callback(handle.remove)
        yield seen


def _check_gradients(gradients: Mapping[HookPoint, Tensor]) -> None:
    for point, gradient in gradients.items():
        if not bool(torch.isfinite(gradient).all()):
            raise TracingError(f"the gradient at {point} holds NaN or infinite values; wanted finite ones")


def _add(
    into: Float[Tensor, "case layer index"],
    places: Sequence[int],
    point: HookPoint,
    products: Float[Tensor, "chosen width"],
) -> None:
    """Sum channels into their heads; a neuron is one channel. Layers with fewer neurons leave the rest at 0."""
    rows = products.float().cpu()
    if point.boundary is Boundary.ATTENTION_OUT_INPUT:
        rows = rows.reshape(len(rows), into.shape[2], -1).sum(2)
    into[torch.tensor(places, device="cpu"), point.layer, : rows.shape[1]] += rows


def _grid(
    component: Component, by_case: Float[Tensor, "case layer index"], measured: Bool[Tensor, "layer index"]
) -> EffectGrid:
    count = len(by_case)
    mean = by_case.mean(0)
    error = by_case.std(0) / count**0.5 if count > 1 else torch.zeros_like(mean)
    return EffectGrid(
        component=component,
        mean=torch.where(measured, mean, 0.0),
        standard_error=torch.where(measured, error, 0.0),
        measured=measured,
        exact=torch.zeros_like(measured),
    )
