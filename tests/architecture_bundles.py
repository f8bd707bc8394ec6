"""Bundles of every kind of site that a model has, and the by-hand model that they equal."""

from __future__ import annotations

import copy

import torch
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import BankEntry, Scope
from breakers.interventions import Breaker, Intervention, Mask, SteeringVector
from breakers.sites import Boundary, Component, HookPoint, Site

NEURONS = (1, 4, 9)


def sample_sites(sites: ModelSites) -> dict[str, list[Site]]:
    """Kind of bundle -> its sites; neurons in every layer that has any, and every expert of the first mixture."""
    found = {
        "heads": [
            Site(layer=0, component=Component.HEAD, head=0),
            Site(layer=1, component=Component.HEAD, head=sites.heads - 1),
        ]
    }
    if sites.mlp_widths:
        found["neurons"] = [Site(layer=n, component=Component.NEURON, neurons=NEURONS) for n in sites.mlp_widths]
    if sites.experts:
        layer, experts = next(iter(sites.experts.items()))
        found["experts"] = [
            Site(layer=layer, component=Component.NEURON, neurons=NEURONS, expert=e) for e in range(experts.count)
        ]
    return found


def linear_entries(sites: ModelSites) -> list[BankEntry]:
    """A bundle a kind of site, of masks and breakers in turn: what a weight can express."""
    g = torch.Generator().manual_seed(3)
    entries = []
    for name, places in sample_sites(sites).items():
        interventions: list[Intervention] = []
        for n, site in enumerate(places):
            d = len(sites.channels(site))
            if n % 2:
                down, up = torch.randn(2, d, generator=g) / d**0.5, torch.randn(d, 2, generator=g)
                interventions.append(Breaker(site=site, down=down, up=up))
            else:
                interventions.append(Mask(site=site, keep=(torch.arange(d) % 3 == 1).float()))
        entries.append(BankEntry(name=name, scope=Scope.ALL, interventions=tuple(interventions)))
    return entries


def residual_entry(sites: ModelSites) -> BankEntry:
    """A steering vector of scope `generation` after a middle layer."""
    vector = torch.randn(sites.d_model, generator=torch.Generator().manual_seed(4))
    site = Site(layer=1, component=Component.RESID)
    return BankEntry(name="resid", scope=Scope.GENERATION, interventions=(SteeringVector(site=site, vector=vector),))


@torch.no_grad()
def folded(model: PreTrainedModel, sites: ModelSites, entry: BankEntry) -> PreTrainedModel:
    """A copy with masks and breakers at strength 1 written into the projections' weights."""
    changed = copy.deepcopy(model)
    names = {id(module): name for name, module in model.named_modules()}
    for intervention in entry.interventions:
        site = intervention.site
        module = changed.get_submodule(names[id(sites.module(site.hook_point))])
        weight, transposed = _weight(module, site.hook_point)
        columns = sites.channels(site)
        before = weight[columns].T if transposed else weight[:, columns]
        if isinstance(intervention, Mask):
            after = before * intervention.keep
        else:
            assert isinstance(intervention, Breaker)
            after = before + (before @ intervention.up) @ intervention.down
        if transposed:
            weight[columns] = after.T
        else:
            weight[:, columns] = after
    return changed


def _weight(module: torch.nn.Module, point: HookPoint) -> tuple[torch.Tensor, bool]:
    """A projection's weight, and whether it is stored (in, out)."""
    if point.boundary is Boundary.EXPERT_DOWN_INPUT:
        return module.down_proj[point.expert], module.is_transposed
    return module.weight, type(module).__name__ == "Conv1D"
