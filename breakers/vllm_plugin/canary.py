"""The proof at the start: through the engine's own steps, as compiled, each bundle changes what it says it changes.

A stale compile cache, a hook point that the traced graph does not pass, or strengths that do not reach the model
would otherwise serve every request unsteered, without an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from breakers.bundles import Bundle
from breakers.errors import RuntimeAttachError
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.vllm_plugin.messages import PlanMessage, encode_plan
from breakers.vllm_plugin.settings import PluginSettings

logger = logging.getLogger(__name__)

COSINE = {torch.float32: 0.999, torch.bfloat16: 0.95, torch.float16: 0.99}
"""Least cosine between the declared and the observed change, each less its mean: that of log-probabilities is known
up to a constant."""

SIZE = {torch.float32: 0.05, torch.bfloat16: 0.25, torch.float16: 0.1}
"""Most that the ratio of their norms may be off 1."""

_STEPS = 1000


def prove(core: Any, bundles: Sequence[Bundle], settings: PluginSettings) -> None:
    """Run every bundle's canary at strengths 0 and 1, all in one batch.

    Args:
        core: vLLM's engine core, ready and without requests.
        bundles: of its bank.
        settings: bundles accepted on another base model have to act, but not as declared.

    Raises:
        RuntimeAttachError: a bundle does not act as its manifest says.
    """
    for bundle in bundles:
        if bundle.manifest.strength_max < 1:
            most = bundle.manifest.strength_max
            raise RuntimeAttachError(f"bundle {bundle.name!r} has strength_max {most}; its canary needs strength 1")
    prompts = [b.manifest.canary.token_ids for b in bundles]
    off = [_request(f"scalpel-canary-{n}-off", p, {}) for n, p in enumerate(prompts)]
    on = [
        _request(f"scalpel-canary-{n}-on", p, {b.name: 1.0})
        for n, (b, p) in enumerate(zip(bundles, prompts, strict=True))
    ]
    found = _run(core, [*off, *on])
    dtype = core.vllm_config.model_config.dtype
    for bundle, before, after in zip(bundles, off, on, strict=True):
        ids = bundle.manifest.canary.logit_ids
        change = found[after.request_id][ids] - found[before.request_id][ids]
        accepted = bundle.name in settings.accept_base_mismatch
        _check(bundle, change, dtype, as_declared=not accepted)


def _check(bundle: Bundle, change: Tensor, dtype: torch.dtype, *, as_declared: bool) -> None:
    declared = _centred(torch.tensor(bundle.manifest.canary.change))
    observed = _centred(change)
    if not as_declared and float(observed.norm()) > 0:
        return
    cosine = float(torch.nn.functional.cosine_similarity(observed, declared, dim=0))
    size = float(observed.norm() / declared.norm().clamp_min(1e-12))
    if not (cosine >= COSINE[dtype] and abs(size - 1) <= SIZE[dtype]):
        raise RuntimeAttachError(
            f"bundle {bundle.name!r}: the change of the logits has a cosine of {cosine:.4f} with the declared one "
            f"(wanted {COSINE[dtype]:g} or more) and {size:.4f} times its size (wanted 1 within {SIZE[dtype]:g}); "
            "the engine would not do what it reports"
        )
    logger.info("bundle %r acts as declared: cosine %.4f, size %.4f", bundle.name, cosine, size)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean()


def _request(request_id: str, token_ids: Sequence[int], strengths: dict[str, float]) -> Any:
    from vllm import SamplingParams
    from vllm.v1.engine import EngineCoreRequest

    applied = {n: AppliedStrength(strength=s, reason=Reason.REQUEST) for n, s in strengths.items()}
    sampling = SamplingParams(
        max_tokens=1, temperature=0.0, logprobs=-1, extra_args=dict(encode_plan(PlanMessage(plan=Plan(applied))))
    )
    return EngineCoreRequest(
        request_id=request_id,
        prompt_token_ids=list(token_ids),
        mm_features=None,
        sampling_params=sampling,
        pooling_params=None,
        arrival_time=time.time(),
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
    )


def _run(core: Any, requests: Sequence[Any]) -> dict[str, Tensor]:
    """Log-probabilities of the first new token, by request and token id."""
    for request in requests:
        core.add_request(*core.preprocess_add_request(request))
    found: dict[str, Tensor] = {}
    for _ in range(_STEPS):
        outputs, executed = core.step_fn()
        core.post_step(executed)
        for of_client in (outputs or {}).values():
            found |= {
                o.request_id: _by_token(o.new_logprobs) for o in of_client.outputs if o.new_logprobs is not None
            }
        if len(found) == len(requests) and not core.scheduler.has_requests() and not core.batch_queue:
            return found
    raise RuntimeAttachError(f"{len(found)} of {len(requests)} canary requests ended within {_STEPS} steps")


def _by_token(logprobs: Any) -> Tensor:
    ids = torch.as_tensor(logprobs.logprob_token_ids[0], dtype=torch.long)
    values = torch.as_tensor(logprobs.logprobs[0], dtype=torch.float32)
    # The chosen token comes first and again in its place; both say the same.
    return torch.zeros(int(ids.max()) + 1).scatter_(0, ids, values)
