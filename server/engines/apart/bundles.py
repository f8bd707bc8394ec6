"""Bundles as they travel: sites as values, tensors as safetensors."""

from __future__ import annotations

from dataclasses import fields

import msgspec
from safetensors.torch import load, save
from torch import Tensor

from breakers.bank import BankEntry, Scope
from breakers.interventions import Breaker, Intervention, Kind, Mask, SteeringVector
from breakers.sites import Site

_KINDS: dict[Kind, type[Intervention]] = {
    Kind.BREAKER: Breaker,
    Kind.STEERING: SteeringVector,
    Kind.MASK: Mask,
}


class WireIntervention(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Where it acts, and how; its tensors are beside it."""

    kind: Kind
    site: Site


class WireEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """`BankEntry`."""

    name: str
    scope: Scope
    strength_max: float
    interventions: tuple[WireIntervention, ...]
    tensors: bytes
    """Safetensors: intervention n's tensors are called `n.down` and so on, after its fields."""


def wire_entry(entry: BankEntry) -> WireEntry:
    """A bundle, ready to be encoded."""
    tensors = {
        f"{n}.{role}": tensor.detach().cpu().contiguous().clone()
        for n, intervention in enumerate(entry.interventions)
        for role, tensor in _tensors(intervention).items()
    }
    return WireEntry(
        name=entry.name,
        scope=entry.scope,
        strength_max=entry.strength_max,
        interventions=tuple(WireIntervention(kind=k.kind, site=k.site) for k in entry.interventions),
        tensors=save(tensors),
    )


def read_entry(wire: WireEntry) -> BankEntry:
    """The bundle again.

    Raises:
        BreakersError: tensors that do not fit their site.
        ValueError, KeyError: tensors that cannot be read, or that are missing.
    """
    tensors = load(wire.tensors)
    return BankEntry(
        name=wire.name,
        scope=wire.scope,
        strength_max=wire.strength_max,
        interventions=tuple(_read(n, item, tensors) for n, item in enumerate(wire.interventions)),
    )


def _read(n: int, wire: WireIntervention, tensors: dict[str, Tensor]) -> Intervention:
    kind = _KINDS[wire.kind]
    return kind(site=wire.site, **{role: tensors[f"{n}.{role}"] for role in _roles(kind)})


def _tensors(intervention: Intervention) -> dict[str, Tensor]:
    return {role: getattr(intervention, role) for role in _roles(type(intervention))}


def _roles(kind: type[Intervention]) -> list[str]:
    return [field.name for field in fields(kind) if field.name != "site"]
