"""The mathematics of exports: an edit at a fixed strength, folded into the projection that reads it.

With one strength s for all interventions of a bundle, DESIGN's formula at a hook point is affine in z:

    z' = D z + s U N D z + s v                 D = diag(clamp(1 - s sum (1 - keep), 0, 1)), v the sum of vectors,
                                               N the stacked `down`s (rank x width), U the `up`s (width x rank)

A projection y = W z + b that reads z' instead of z therefore computes W' z + b' with

    W' = W (D + s U N D) = (W + s (W U) N) D
    b' = b + s W v

and the difference factorises exactly, with e_i the unit rows of the channels i where D_i < 1:

    W' - W = s W U N D - W (I - D) = [s W U, -(1 - D_i) W[:, i] ...] [N D; e_i ...]

The left factor is a LoRA's B and the right one its A: rank of the breakers plus one for each masked channel. N is
multiplied by D because a breaker reads the masked activation. Everything here is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.architectures import ModelSites
from breakers.bank import Bank, HookBank
from breakers.bundles import Bundle
from breakers.errors import ExportError
from breakers.sites import HookPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedUpdate:
    """z' = keep z + up (down (keep z)) + shift: a bundle at one hook point and one strength."""

    keep: Float[Tensor, " width"]
    """The diagonal of D."""
    down: Float[Tensor, "rank width"]
    """N."""
    up: Float[Tensor, "width rank"]
    """s U."""
    shift: Float[Tensor, " width"]
    """s v."""

    @property
    def idle(self) -> bool:
        """Whether z' is z: masks that keep everything, tensors of zeros."""
        breaks = bool(self.up.any()) and bool(self.down.any())
        return not breaks and bool((self.keep == 1).all()) and not bool(self.shift.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFactors:
    """W' - W = b a."""

    a: Float[Tensor, "rank width"]
    b: Float[Tensor, "out rank"]

    @property
    def rank(self) -> int:
        return len(self.a)


def fix_strength(bundle: Bundle, sites: ModelSites, strength: float) -> dict[HookPoint, FixedUpdate]:
    """What a bundle does at each hook point where it does anything, at one strength, in float64.

    Raises:
        ExportError: it does nothing anywhere.
        SiteError: an intervention names a site that the model does not have.
        InterventionError: tensors do not fit their site.
        PlanError: the strength is outside [0, strength_max].
    """
    # The bank scatters sites into hook points for the engines: the same one here, so that both agree.
    bank = Bank(sites, [bundle.bank_entry()], dtype=torch.float64)
    values = bank.row({bundle.name: strength})[None].double()
    updates = {point: _fix(hook, values, sites.width(point)) for point, hook in bank.points.items()}
    acting = {point: update for point, update in updates.items() if not update.idle}
    if not acting:
        raise ExportError(f"bundle {bundle.name!r} changes nothing: its masks keep all and its tensors are zero")
    return acting


def lora_factors(update: FixedUpdate, weight: Float[Tensor, "out width"]) -> LoraFactors:
    """The exact low-rank factors of W' - W."""
    masked = (update.keep != 1).nonzero().flatten()
    units = torch.eye(len(update.keep), dtype=torch.float64)[masked]
    columns = -(1 - update.keep[masked]) * weight[:, masked]
    return LoraFactors(
        a=torch.cat([update.down * update.keep, units]),
        b=torch.cat([weight @ update.up, columns], dim=1),
    )


def folded_weight(update: FixedUpdate, weight: Float[Tensor, "out width"]) -> Float[Tensor, "out width"]:
    """W'; columns that a mask prunes entirely come out exactly 0."""
    return (weight + (weight @ update.up) @ update.down) * update.keep


def folded_bias(
    update: FixedUpdate, weight: Float[Tensor, "out width"], bias: Float[Tensor, " out"]
) -> Float[Tensor, " out"]:
    """b'; `weight` is W, before folding: vectors are added after masks and breakers."""
    return bias + weight @ update.shift


def _fix(hook: HookBank, values: Float[Tensor, "1 bundle"], width: int) -> FixedUpdate:
    strengths = hook.expand(values)
    empty = torch.zeros(0, width, dtype=torch.float64)
    down = empty if hook.down is None else hook.down.T
    up = empty if hook.up is None or strengths.rows is None else hook.up * strengths.rows[0, :, None]
    return FixedUpdate(
        keep=torch.ones(width, dtype=torch.float64) if strengths.keep is None else strengths.keep[0],
        down=down,
        up=up.T,
        shift=torch.zeros(width, dtype=torch.float64) if strengths.shift is None else strengths.shift[0],
    )
