"""Activations at the targets of runs: norms of components, and the means and stand-ins that ablations put in place.

Targets are the positions from the last prompt token to the reply's last but one: where an intervention of scope
`generation` acts on what is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import TracingError
from breakers.sites import Boundary, HookPoint, Site
from breakers.tracing.activations import Activations, capture, check_finite
from breakers.tracing.sources import PAD, real_positions
from breakers.training.batches import Batch, Sample, collate

RUNS = 32
"""In a forward pass."""


def in_batches(samples: Sequence[Sample]) -> Iterator[tuple[Sequence[Sample], Batch]]:
    """Consecutive samples, and the same as tensors."""
    for start in range(0, len(samples), RUNS):
        rows = samples[start : start + RUNS]
        yield rows, collate(rows, PAD)


def activation_norms(
    model: PreTrainedModel, sites: ModelSites, samples: Sequence[Sample], components: Sequence[Site]
) -> list[float]:
    """Mean norm of each component's activation over the targets of all samples: of a neuron, its mean absolute value.

    Raises:
        TracingError: no samples, or components whose activations cannot be captured or are not finite.
        SiteError: the model has no such component.
    """
    points = {site.hook_point for site in components}
    norms = _means(model, sites, samples, points, lambda point, z: _norms(sites, point, z))
    return [float(norms[site.hook_point][_place(site)]) for site in components]


def mean_activations(
    model: PreTrainedModel, sites: ModelSites, samples: Sequence[Sample], components: Sequence[Site]
) -> dict[Site, Float[Tensor, " d"]]:
    """Mean activation of each site over the targets of all samples.

    Raises:
        TracingError, SiteError: as `activation_norms`.
    """
    means = _means(model, sites, samples, {site.hook_point for site in components}, lambda _point, z: z)
    return {site: means[site.hook_point][sites.channels(site)].float() for site in components}


def stand_ins(
    model: PreTrainedModel, sites: ModelSites, partners: Sequence[Sample], batch: Batch, points: Collection[HookPoint]
) -> Activations:
    """The activations of each row's partner, at the same offset from the last prompt token.

    Args:
        model: the model that `sites` were resolved for.
        sites: from `resolve_sites`.
        partners: one for each row. Where the partner's reply is the shorter one, its last target stands in.
        batch: the rows; the result has its positions, and no meaning where they are no targets.
        points: where.

    Raises:
        TracingError, SiteError: as `activation_norms`.
    """
    others = collate(partners, PAD)
    seen = capture(model, sites, others.ids, points)
    check_finite(seen, real_positions(partners))
    offsets = torch.arange(batch.ids.shape[1]) - batch.starts[:, None]
    last = torch.tensor([len(partner.reply) - 1 for partner in partners])
    places = others.starts[:, None] + offsets.clamp(min=0).minimum(last[:, None])
    rows = torch.arange(len(partners))[:, None]
    return {point: z[rows, places] for point, z in seen.items()}


def _means(
    model: PreTrainedModel,
    sites: ModelSites,
    samples: Sequence[Sample],
    points: Collection[HookPoint],
    values: Callable[[HookPoint, Tensor], Tensor],
) -> dict[HookPoint, Tensor]:
    if not samples:
        raise TracingError("no samples to record activations of; wanted at least one")
    sums: dict[HookPoint, Tensor] = {}
    count = 0
    for rows, batch in in_batches(samples):
        seen = capture(model, sites, batch.ids, points)
        check_finite(seen, real_positions(rows))
        for point, z in seen.items():
            total = values(point, z[batch.targets].double()).sum(0)
            sums[point] = sums[point] + total if point in sums else total
        count += int(batch.targets.sum())
    return {point: total / count for point, total in sums.items()}


def _norms(
    sites: ModelSites, point: HookPoint, z: Float[Tensor, "target width"]
) -> Float[Tensor, "target component"]:
    if point.boundary is Boundary.ATTENTION_OUT_INPUT:
        by_head = z.reshape(len(z), sites.heads, sites.d_head)
        return by_head.square().sum(-1).sqrt()
    return z.abs()


def _place(site: Site) -> int:
    if site.head is not None:
        return site.head
    if site.neurons is None or len(site.neurons) != 1:
        raise TracingError(f"{site} is no single component; wanted one head or one neuron")
    return site.neurons[0]
