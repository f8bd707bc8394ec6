"""The three interventions, and what they do to activations: the mathematics, once, as pure functions.

For one token with activation z at a hook point and interventions k with strengths s_k:

    z1 = z * clamp(1 - sum_k s_k (1 - keep_k), 0, 1)
    z' = z1 + sum_k s_k up_k (down_k z1) + sum_k s_k v_k

The functions here take one site's activation at a time and are the reference that the fused bank, and every
engine, is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.errors import InterventionError
from breakers.sites import Site


class Kind(StrEnum):
    """The kinds of intervention."""

    BREAKER = "breaker"
    STEERING = "steering"
    MASK = "mask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A trained low-rank update of one site: z' = z + s up (down z)."""

    site: Site
    # Plain tensors, checked below: these may come from a file, and a bad shape is an error of ours at run time too.
    down: Tensor
    """(rank, d)"""
    up: Tensor
    """(d, rank)"""

    def __post_init__(self) -> None:
        if self.down.ndim != 2 or self.up.ndim != 2 or self.down.shape != self.up.shape[::-1]:
            found = f"down {tuple(self.down.shape)}, up {tuple(self.up.shape)}"
            raise InterventionError(f"breaker at {self.site} has {found}; wanted (rank, d) and (d, rank)")
        _check_finite("breaker", self.site, self.down, self.up)

    @property
    def kind(self) -> Kind:
        return Kind.BREAKER

    @property
    def width(self) -> int:
        """d: the site's width that these tensors were made for."""
        return self.down.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringVector:
    """One direction at one site: z' = z + s v."""

    site: Site
    vector: Tensor
    """(d,)"""

    def __post_init__(self) -> None:
        if self.vector.ndim != 1:
            raise InterventionError(
                f"steering vector at {self.site} has shape {tuple(self.vector.shape)}; wanted (d,)"
            )
        _check_finite("steering vector", self.site, self.vector)

    @property
    def kind(self) -> Kind:
        return Kind.STEERING

    @property
    def width(self) -> int:
        return self.vector.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A keep mask over a site's channels: 1 keeps, 0 prunes."""

    site: Site
    keep: Tensor
    """(d,), in [0, 1]"""

    def __post_init__(self) -> None:
        if self.keep.ndim != 1:
            raise InterventionError(f"mask at {self.site} has shape {tuple(self.keep.shape)}; wanted (d,)")
        _check_finite("mask", self.site, self.keep)
        if bool(((self.keep < 0) | (self.keep > 1)).any()):
            raise InterventionError(f"mask at {self.site} has keep values outside [0, 1]")

    @property
    def kind(self) -> Kind:
        return Kind.MASK

    @property
    def width(self) -> int:
        return self.keep.shape[0]


Intervention: TypeAlias = Breaker | SteeringVector | Mask


def keep_factor(
    masks: Sequence[tuple[Mask, Float[Tensor, " token"]]], like: Float[Tensor, "token d"]
) -> Float[Tensor, "token d"]:
    """clamp(1 - sum_k s_k (1 - keep_k), 0, 1) for one site; overlapping fractions saturate at 0."""
    pruned = torch.zeros_like(like)
    for mask, strength in masks:
        pruned = pruned + strength[:, None] * (1 - mask.keep)
    return (1 - pruned).clamp(0, 1)


def intervene(
    z: Float[Tensor, "token d"], interventions: Sequence[tuple[Intervention, Float[Tensor, " token"]]]
) -> Float[Tensor, "token d"]:
    """Activations of one site after all its interventions, each with a strength per token.

    This is the slow, exact statement of the formula above; rows whose strengths are all 0 come out as they
    went in, bit for bit, even where z is not finite.
    """
    masks = [(k, s) for k, s in interventions if isinstance(k, Mask)]
    z1 = z * keep_factor(masks, z) if masks else z
    out = z1
    for k, strength in interventions:
        if isinstance(k, Breaker):
            out = out + strength[:, None] * ((z1 @ k.down.T) @ k.up.T)
        elif isinstance(k, SteeringVector):
            out = out + strength[:, None] * k.vector
    untouched = torch.stack([s == 0 for _, s in interventions]).all(0) if interventions else torch.ones(len(z)).bool()
    return torch.where(untouched[:, None], z, out)


def _check_finite(what: str, site: Site, *tensors: Tensor) -> None:
    for tensor in tensors:
        if not tensor.is_floating_point():
            raise InterventionError(f"{what} at {site} has dtype {tensor.dtype}; wanted a floating type")
        if not bool(torch.isfinite(tensor).all()):
            raise InterventionError(f"{what} at {site} holds NaN or infinite values")
