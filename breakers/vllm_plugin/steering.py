"""One bank on the model of one model runner: what the runners of vLLM share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from breakers.bank import Bank, HookBank
from breakers.bundles import Bundle, verify_base, verify_sites
from breakers.sites import HookPoint
from breakers.vllm_plugin.catalogue import Catalogue, open_bundles
from breakers.vllm_plugin.fingerprint import vllm_fingerprint
from breakers.vllm_plugin.rows import RequestRows
from breakers.vllm_plugin.settings import STRUCTURE, PluginSettings, plugin_settings
from breakers.vllm_plugin.sites import point_shard, vllm_sites
from breakers.vllm_plugin.update import SiteUpdate, attach, shard_hook

ATTRIBUTE = "scalpel_steering"
"""Of a model runner: a `Steering`, or None where its engine has no bundles."""


class Steering:
    """The bank that acts in a model, and its requests."""

    def __init__(self, catalogue: Catalogue, rows: RequestRows, structure: str) -> None:
        """Keep them together.

        Args:
            catalogue: of the bank's bundles.
            rows: strengths of the runner's requests.
            structure: digest of what was put into the model.
        """
        self.catalogue = catalogue
        self.rows = rows
        self.structure = structure

    def take_on(self, request_id: str, sampling_params: Any, prompt_tokens: int) -> None:
        """Read a request's plan as the worker received it.

        Raises:
            PlanError: it cannot be applied here; the engine core lets no such plan through.
        """
        extra_args = None if sampling_params is None else sampling_params.extra_args
        self.rows.assign(request_id, self.catalogue.admit(extra_args, prompt_tokens))


def install_steering(runner: Any, model: nn.Module, *, tokens: int) -> None:
    """Steer a model that was just loaded, before anything traces it, as its engine is configured.

    Args:
        runner: vLLM's model runner, which keeps the result.
        model: the causal LM itself, without wrappers of graphs.
        tokens: the most that a forward of this runner takes, padding included.

    Raises:
        BreakersError: a bundle does not fit this model, or the model cannot be steered.
    """
    settings = plugin_settings(runner.vllm_config)
    setattr(runner, ATTRIBUTE, None if settings is None else steer(runner.vllm_config, settings, model, tokens))


def steer(vllm_config: Any, settings: PluginSettings, model: nn.Module, tokens: int) -> Steering:
    """Compile the bundles, put them into the model and tell vLLM's compile cache that they are there."""
    bundles = open_bundles(settings)
    config = vllm_config.model_config.hf_config
    sites = vllm_sites(model, config)
    fingerprint = vllm_fingerprint(model, config)
    for bundle in bundles:
        if bundle.name not in settings.accept_base_mismatch:
            verify_base(bundle, fingerprint)
        verify_sites(bundle, sites)
    bank = _compiled(bundles, sites, model, vllm_config.model_config.dtype)
    rows = RequestRows(bank, tokens=tokens)
    hooks = {point: shard_hook(point, hook, point_shard(sites, point)) for point, hook in bank.points.items()}
    for point, hook in hooks.items():
        attach(sites.module(point), point, SiteUpdate(hook, rows.buffer, rows.layout.offsets[point]))
    structure = structure_digest(hooks)
    # Only now: a model without the plugin must never find what was compiled with it, nor the other way round.
    vllm_config.additional_config[STRUCTURE] = structure
    return Steering(Catalogue(bundles), rows, structure)


def structure_digest(hooks: dict[HookPoint, HookBank]) -> str:
    """Twelve hex digits over all that is a constant of the traced graph: hook points, and shapes of their stacks."""
    shapes = {
        str(point): [None if t is None else [*t.shape, str(t.dtype)] for t in _stacks(hook)]
        for point, hook in hooks.items()
    }
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:12]


def _compiled(bundles: Sequence[Bundle], sites: Any, model: nn.Module, dtype: torch.dtype) -> Bank:
    device = next(model.parameters()).device
    return Bank(sites, [b.bank_entry() for b in bundles], device=device, dtype=dtype, for_serving=True)


def _stacks(hook: HookBank) -> tuple[torch.Tensor | None, ...]:
    return hook.prune, hook.down, hook.up, hook.vectors
