"""Activations at hook points, captured in plain forward passes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import NonFiniteError, TracingError
from breakers.sites import Boundary, HookPoint

TRACED = (Boundary.ATTENTION_OUT_INPUT, Boundary.MLP_DOWN_INPUT)
"""Boundaries whose activation is the input of one projection. Tracing patches heads and the neurons of dense MLPs and
shared experts; routed experts see only some of the tokens, which differ between runs, and are refused."""

Activations = dict[HookPoint, Tensor]
"""Of each hook point, (batch, pos, width)."""


@torch.no_grad()
def capture(
    model: PreTrainedModel,
    sites: ModelSites,
    ids: Int[Tensor, "batch pos"],
    points: Collection[HookPoint],
    *,
    first: int = 0,
) -> Activations:
    """z at hook points, in one forward pass without the output head.

    Args:
        model: the model that `sites` were resolved for.
        sites: from `resolve_sites`.
        ids: tokens, padded on the right; what comes out at padding is of no use.
        points: where to look, of the boundaries in `TRACED`.
        first: positions before this one are left out of what is returned.

    Raises:
        TracingError: a hook point of another boundary.
        SiteError: the model has no such hook point.
    """
    with (
        captured(sites, points, first=first, batch=len(ids)) as seen,
        head_rows(model, torch.zeros_like(ids, dtype=torch.bool)),
    ):
        model(input_ids=ids, use_cache=False)
    return seen


@contextmanager
def captured(
    sites: ModelSites, points: Collection[HookPoint], *, first: int = 0, batch: int | None = None
) -> Iterator[Activations]:
    """Fill a dict with z of the latest forward inside, from position `first` on; gradients flow where enabled.

    Args:
        sites: from `resolve_sites`.
        points: where to look.
        first: positions before this one are left out.
        batch: rows of the forward, for models whose MLPs see all tokens in one row, as mixtures' shared experts do.

    Raises:
        TracingError: a hook point of another boundary, or one whose tokens come in one row, without `batch`.
        SiteError: the model has no such hook point.
    """
    seen: Activations = {}

    def note(point: HookPoint, _module: nn.Module, args: tuple[Any, ...]) -> None:
        seen[point] = by_row(args[0], batch)[:, first:]

    check_points(points)
    handles = [sites.module(point).register_forward_pre_hook(partial(note, point)) for point in points]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def on_device_of(model: PreTrainedModel) -> AbstractContextManager[object]:
    """A context in which new tensors are made where the model is."""
    return nullcontext() if model.device.type == "cpu" else model.device


@contextmanager
def head_rows(model: PreTrainedModel, wanted: Bool[Tensor, "batch pos"]) -> Iterator[None]:
    """Let the output head see these positions only: logits come out as (wanted, vocab), row after row.

    Raises:
        TracingError: the model has no output head.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise TracingError(f"{type(model).__name__} has no output embedding; wanted a causal language model")
    handle = head.register_forward_pre_hook(lambda _module, args: (args[0][wanted], *args[1:]))
    try:
        yield
    finally:
        handle.remove()


def by_row(z: Tensor, batch: int | None) -> Float[Tensor, "batch pos width"]:
    """Activations with their batch axis, which some modules see flattened into one with the positions.

    Raises:
        TracingError: they are flattened, and nobody said of how many rows.
    """
    if z.ndim == 3:
        return z
    if z.ndim != 2 or batch is None:
        raise TracingError(f"activations have shape {tuple(z.shape)}; wanted (batch, pos, width)")
    return torch.unflatten(z, 0, (batch, -1))


def check_points(points: Collection[HookPoint]) -> None:
    """Refuse what tracing cannot patch.

    Raises:
        TracingError: a hook point of another boundary than those in `TRACED`.
    """
    for point in points:
        if point.boundary not in TRACED:
            wanted = " or ".join(boundary.value for boundary in TRACED)
            raise TracingError(f"{point} cannot be patched; wanted {wanted}")


def check_finite(seen: Mapping[HookPoint, Float[Tensor, "batch pos width"]], real: Bool[Tensor, "batch pos"]) -> None:
    """Refuse activations that are not finite, the lowest layer's first.

    Args:
        seen: activations by hook point.
        real: positions that hold a token; padding is not looked at.

    Raises:
        NonFiniteError: naming the hook point, and the row as the case.
    """
    for point in sorted(seen):
        broken = ~torch.isfinite(seen[point]).all(-1) & real
        if bool(broken.any()):
            raise NonFiniteError(str(point), int(broken.any(1).nonzero()[0]))


def locate(model: PreTrainedModel, sites: ModelSites, tokens: Sequence[int]) -> str:
    """Where the unmodified run of a prompt or a whole sequence stops being finite: the lowest such hook point."""
    ids = torch.tensor([list(tokens)])
    everywhere = [point for point in sites.modules if point.boundary in TRACED]
    try:
        check_finite(capture(model, sites, ids, everywhere), torch.ones(ids.shape, dtype=torch.bool))
    except NonFiniteError as error:
        return error.where
    return "what follows the last projection, or a patched run,"
