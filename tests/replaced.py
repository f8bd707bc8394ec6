"""Activations replaced by hooks on the projections, position by position: the slow way that ablations are held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from breakers.architectures import ModelSites
from breakers.sites import Site


@contextmanager
def replaced(sites: ModelSites, start: int, rows: Mapping[Site, Tensor]) -> Iterator[None]:
    """Put rows[site][offset] in place at position start + offset of the only row of every forward inside."""

    def replace(_module, args: tuple[Tensor, ...], site: Site) -> tuple[Tensor, ...]:
        z = args[0].clone()
        for offset, value in enumerate(rows[site][: z.shape[1] - start]):
            z[0, start + offset, sites.channels(site)] = value
        return (z, *args[1:])

    with ExitStack() as hooks:
        for site in rows:
            handle = sites.module(site.hook_point).register_forward_pre_hook(
                lambda module, args, site=site: replace(module, args, site)
            )
            hooks.callback(handle.remove)
        yield


@torch.no_grad()
def greedy_reply(
    model, sites: ModelSites, prompt: tuple[int, ...], rows: Mapping[Site, Tensor], end: int, tokens: int
) -> list[int]:
    """A reply of at most so many tokens, by whole forwards."""
    ids = list(prompt)
    with replaced(sites, len(prompt) - 1, rows):
        while len(ids) < len(prompt) + tokens:
            chosen = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if chosen == end:
                break
            ids.append(chosen)
    return ids[len(prompt) :]
