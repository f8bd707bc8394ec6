"""Directions from data: how activations on neutral replies differ from those on harmful ones, at each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import InterventionError, SiteError
from breakers.recording import Recording, recording
from breakers.sites import Site
from breakers.training.batches import Batch, Pair, Sample, collate
from breakers.training.forward import pad_token, plain_logits

_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDifferences:
    """One site on pairs, at generation positions: the last prompt token, and the reply but for its last token."""

    by_pair: Float[Tensor, "pair d"]
    """Mean over the neutral reply minus mean over the harmful one; 0 at routed experts, where activations cannot be
    told apart by token."""
    mean_norm: float
    """Mean of ||z|| over all these positions of both replies: the site's unit of length. At a routed expert over all
    tokens that came by, 0 if none did."""

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """Neutral minus harmful, over pairs."""
        return self.by_pair.mean(0)


def measure_differences(
    model: PreTrainedModel, sites: ModelSites, watched: Sequence[Site], pairs: Sequence[Pair]
) -> Mapping[Site, SiteDifferences]:
    """Record both replies of each pair on the unmodified model.

    Args:
        model: the base model.
        sites: of that model.
        watched: where to look.
        pairs: at least one.

    Raises:
        InterventionError: no pair, or activations that are not finite.
    """
    if not pairs:
        raise InterventionError("no pair to take differences from; wanted at least one")
    means: dict[Site, list[Tensor]] = {site: [] for site in watched}
    norms: dict[Site, list[Tensor]] = {site: [] for site in watched}
    for at in range(0, len(pairs), _BATCH):
        some = pairs[at : at + _BATCH]
        neutral = _means(model, sites, watched, [pair.neutral for pair in some], norms)
        harmful = _means(model, sites, watched, [pair.harmful for pair in some], norms)
        for site in watched:
            means[site].append(neutral[site] - harmful[site])
    found = {
        site: SiteDifferences(by_pair=torch.cat(means[site]), mean_norm=_mean(torch.cat(norms[site])))
        for site in watched
    }
    for site, differences in found.items():
        if not bool(torch.isfinite(differences.by_pair).all()):
            raise InterventionError(f"activations at {site} are not finite; wanted finite ones")
    return found


def principal_directions(differences: Float[Tensor, "pair d"], count: int) -> Float[Tensor, "direction d"]:
    """Orthonormal directions that hold most of the differences, the strongest first; as many as there are."""
    directions: Tensor = torch.linalg.svd(differences, full_matrices=False).Vh
    return directions[: min(count, len(directions))]


@torch.no_grad()
def _means(
    model: PreTrainedModel,
    sites: ModelSites,
    watched: Sequence[Site],
    samples: Sequence[Sample],
    norms: Mapping[Site, list[Tensor]],
) -> dict[Site, Float[Tensor, "sample d"]]:
    batch: Batch = collate(samples, pad_token(model))
    with recording(model, sites, watched) as recorded:
        plain_logits(model, batch)
    flat = batch.targets.flatten()
    row = batch.targets.nonzero(as_tuple=True)[0]
    found = {}
    for site in watched:
        if site.expert is not None:
            z = _routed(recorded, site)
            found[site] = torch.zeros(len(samples), len(sites.channels(site)))
        else:
            z = recorded[site].cpu().float()[flat]
            found[site] = z.new_zeros(len(samples), z.shape[1]).index_add(0, row, z) / batch.lengths[:, None]
        norms[site].append(z.norm(dim=1))
    return found


def _routed(recorded: Recording, site: Site) -> Float[Tensor, "token d"]:
    try:
        return recorded[site].cpu().float()
    except SiteError:
        return torch.zeros(0, 1)


def _mean(values: Float[Tensor, " value"]) -> float:
    return float(values.mean()) if len(values) else 0.0
