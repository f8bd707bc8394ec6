"""Tiny checkpoints and bundles on disk for vLLM, and the plain-PyTorch reference of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from engine_contract import PLANS, bundles_at, prompt
from tiny import hash_name
from tiny_configs import TINY_CONFIGS
from tiny_tokenizer import tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from vllm_engines import POSITIONS, Files

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry
from breakers.bundles import BaseManifest, BundleManifest, save_bundle
from breakers.bundles.canary import measure_canary
from breakers.bundles.store import describe_interventions
from breakers.fingerprint import fingerprint_model
from breakers.runtime import TorchRuntime

NOTHING = "sha256:" + "0" * 64

# vLLM's attention on CPUs wants heads of 32 channels or more.
_CHANGES = {"hidden_size": 64, "head_dim": 32, "max_position_embeddings": POSITIONS, "query_pre_attn_scalar": 32}

# vLLM has this architecture without windows only.
_OF_TYPE = {"qwen3": {"use_sliding_window": False, "sliding_window": None, "layer_types": ["full_attention"] * 3}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Files):
    """A model and its bundles, on disk and as a reference."""

    model: PreTrainedModel
    plans: tuple[dict[str, float], ...]
    """That name these bundles only; the first is empty."""
    runtime: TorchRuntime

    @torch.no_grad()
    def logprobs(
        self, prompt_ids: Sequence[int], reply: Sequence[int], strengths: dict[str, float], start: int | None = None
    ) -> tuple[list[int], list[float]]:
        """What the reference would have chosen in each place of a reply, and what it gives to the reply's tokens."""
        ids = torch.tensor([[*prompt_ids, *reply]])
        last = len(prompt_ids) - 1
        with self.runtime.steering(strengths, last if start is None else start):
            logits = self.model(ids, use_cache=False).logits[0, last:-1]
        chosen = logits.argmax(-1).tolist()
        return chosen, logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None])[:, 0].tolist()


def serve_tiny(model_type: str, directory: Path, *, tokenizer: bool = False) -> Served:
    """Write a tiny random model, and bundles of every kind of site that vLLM has of it.

    Args:
        model_type: as in its configuration.
        directory: for all of them.
        tokenizer: with one, and a vocabulary of its size.
    """
    model = _tiny_model(model_type, {"vocab_size": len(tiny_tokenizer())} if tokenizer else {})
    model.save_pretrained(directory / "model")
    if tokenizer:
        tiny_tokenizer().save_pretrained(directory / "model")
    sites = resolve_sites(model)
    # vLLM computes all experts of a layer in one kernel.
    entries = bundles_at(sites, experts=False)
    paths = tuple(_save(model, entry, directory / entry.name) for entry in entries)
    return Served(
        model=model,
        directory=directory / "model",
        bundles=paths,
        plans=PLANS,
        runtime=TorchRuntime(model, Bank(sites, entries)),
    )


def _tiny_model(model_type: str, fields: Mapping[str, Any]) -> PreTrainedModel:
    """As `tiny.tiny_model`, of the least size that vLLM takes."""
    known = AutoConfig.for_model(model_type).to_dict()
    changes = {name: value for name, value in _CHANGES.items() if name in known}
    config = AutoConfig.for_model(
        model_type, **{**TINY_CONFIGS[model_type], **changes, **_OF_TYPE.get(model_type, {})}
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(hash_name(name, 0)))
    return model


def _save(model: PreTrainedModel, entry: BankEntry, path: Path) -> Path:
    declared, _ = describe_interventions(entry.interventions)
    manifest = BundleManifest(
        format=1,
        name=entry.name,
        behaviour="made up",
        category="made up",
        scope=entry.scope,
        interventions=declared,
        base=BaseManifest(id="tiny", fingerprint=fingerprint_model(model)),
        gate=None,
        strength_max=entry.strength_max,
        dose_p95=0.0,
        canary=measure_canary(model, resolve_sites(model), entry, prompt(9)),
        made_from={},
        licence="Apache-2.0",
        metrics=[],
        command="pytest",
        weights_sha256=NOTHING,
    )
    save_bundle(manifest, entry.interventions, path, card=f"# {entry.name}\n")
    return path
