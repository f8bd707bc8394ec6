"""Activations at sites, recorded while a model runs: for looking at a hook point and for making directions.

Built on the run time with masks that keep everything, so what is recorded is what an intervention at that site
would read, on every architecture that the run time knows; nothing is changed, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import SiteError
from breakers.interventions import Mask
from breakers.runtime import TorchRuntime
from breakers.sites import HookPoint, Site

_NAME = "recording"


class Recording:
    """What was seen so far, by site."""

    def __init__(self, sites: ModelSites, watched: Sequence[Site]) -> None:
        self._channels = {site: sites.channels(site) for site in watched}
        self._seen: dict[Site, list[Tensor]] = {site: [] for site in watched}

    def __getitem__(self, site: Site) -> Float[Tensor, "token d"]:
        """Activations of all forwards so far, one after the other; within one in the order [batch, pos].

        Raises:
            SiteError: the site is not watched, or no forward has run.
        """
        if site not in self._seen:
            raise SiteError(f"{site} is not recorded; recorded: {', '.join(map(str, self._seen))}")
        if not self._seen[site]:
            raise SiteError(f"nothing was recorded at {site}: no forward has run")
        return torch.cat(self._seen[site])

    def note(self, point: HookPoint, before: Float[Tensor, "token width"], after: Tensor) -> None:
        """The run time's observer."""
        for site, channels in self._channels.items():
            if site.hook_point == point:
                self._seen[site].append(before.detach()[:, channels])


@contextmanager
def recording(model: PreTrainedModel, sites: ModelSites, watched: Sequence[Site]) -> Iterator[Recording]:
    """Record the activations at sites in every forward inside, also within `generate`; then remove every hook.

    Hooks run in the order in which they were installed: entered inside `TorchRuntime.steering`, this records what
    the interventions leave behind at their own sites; entered outside, what they find there.

    Args:
        model: the model that `sites` were resolved for.
        sites: from `resolve_sites`.
        watched: where to look.

    Raises:
        SiteError: nothing is watched, or the model does not have a site.
    """
    if not watched:
        raise SiteError("no site was named; wanted at least one")
    recorded = Recording(sites, watched)
    ones = [Mask(site=site, keep=torch.ones(len(sites.channels(site)))) for site in watched]
    entry = BankEntry(name=_NAME, scope=Scope.ALL, interventions=tuple(ones))
    bank = Bank(sites, [entry], device=model.device, dtype=model.dtype)
    with TorchRuntime(model, bank, observer=recorded.note).steering({_NAME: 1.0}):
        yield recorded
