"""What a bundle does to one prompt's logits, and how strongly it acts: measured when made, proved when loaded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry
from breakers.bundles.manifest import CanaryManifest
from breakers.errors import BundleIntegrityError
from breakers.runtime import TorchRuntime
from breakers.sites import HookPoint

CANARY_LOGITS = 16


@torch.no_grad()
def logit_change(
    model: PreTrainedModel, sites: ModelSites, entry: BankEntry, token_ids: Sequence[int]
) -> Float[Tensor, " vocab"]:
    """Last-position logits at strength 1 minus those at strength 0, fp32."""
    runtime = TorchRuntime(model, Bank(sites, [entry], device=model.device, dtype=model.dtype))
    ids = torch.tensor([list(token_ids)], device=model.device)
    with runtime.steering({entry.name: 0.0}):
        off = model(input_ids=ids, use_cache=False).logits[0, -1]
    with runtime.steering({entry.name: 1.0}):
        on = model(input_ids=ids, use_cache=False).logits[0, -1]
    change: Tensor = on.float() - off.float()
    return change


def measure_canary(
    model: PreTrainedModel, sites: ModelSites, entry: BankEntry, token_ids: Sequence[int]
) -> CanaryManifest:
    """The canary of a bundle: its largest logit changes on one prompt."""
    change = logit_change(model, sites, entry, token_ids)
    top = change.abs().topk(min(CANARY_LOGITS, len(change))).indices.sort().values
    return CanaryManifest(
        token_ids=list(token_ids), logit_ids=top.tolist(), change=[float(change[int(i)]) for i in top]
    )


def canary_cosine(model: PreTrainedModel, sites: ModelSites, entry: BankEntry, canary: CanaryManifest) -> float:
    """Cosine between the declared and the observed logit changes, in [-1, 1]; 1 means the bundle acts as made.

    Raises:
        BundleIntegrityError: the canary names tokens that the model does not have.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    for field, ids in (("token_ids", canary.token_ids), ("logit_ids", canary.logit_ids)):
        if max(ids) >= vocabulary:
            raise BundleIntegrityError(f"canary.{field}: holds {max(ids)}; the model has {vocabulary} tokens")
    observed = logit_change(model, sites, entry, canary.token_ids)[canary.logit_ids]
    declared = torch.tensor(canary.change, device=observed.device)
    return float(torch.nn.functional.cosine_similarity(observed, declared, dim=0))


@torch.no_grad()
def measure_dose(
    model: PreTrainedModel, sites: ModelSites, entry: BankEntry, prompts: Sequence[Sequence[int]]
) -> float:
    """95th percentile of the relative dose ||z' - z|| / ||z|| at strength 1, over steered tokens and hook points.

    Args:
        prompts: token ids of calibration conversations; those of scope `generation` count at their last token.
    """
    doses: list[Tensor] = []

    def observe(point: HookPoint, before: Tensor, after: Tensor) -> None:
        norms = before.norm(dim=-1)
        moved = (after - before).norm(dim=-1)
        touched = moved > 0
        doses.append((moved / norms.clamp_min(1e-12))[touched].float().cpu())

    bank = Bank(sites, [entry], device=model.device, dtype=model.dtype)
    with TorchRuntime(model, bank, observer=observe).steering({entry.name: 1.0}) as runtime:
        for prompt in prompts:
            runtime.restart()
            model(input_ids=torch.tensor([list(prompt)], device=model.device), use_cache=False)
    seen = torch.cat(doses) if doses else torch.zeros(1)
    return float(seen.quantile(0.95)) if len(seen) else 0.0
