"""vLLM's prefix cache: blocks whose keys and values differ have different hashes.

A block's hash covers its tokens, the hash before it and extra keys. With scope `generation` the prompt's full blocks
before generation_start have none of ours and are shared between all plans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin.catalogue import AdmittedPlan, Catalogue
from breakers.vllm_plugin.settings import KEY
from breakers.vllm_plugin.wrapping import wrap

ATTRIBUTE = "scalpel_plan"
"""Of a request in the engine core: an `AdmittedPlan`, or None."""


def install() -> None:
    """Wrap the one function with a block's range that all makers of extra keys call."""
    from vllm.v1.core import kv_cache_utils

    wrap(kv_cache_utils, "_gen_prompt_embeds_extra_hash_keys", _with_plans)


def separating(hasher: Callable[[Any], Any], catalogue: Catalogue) -> Callable[[Any], Any]:
    """A hasher of blocks that first reads the request's plan.

    It runs while the engine core makes the request, after every way in: a client cannot get round it.
    """

    def hashed(request: Any) -> Any:
        if not hasattr(request, ATTRIBUTE):
            setattr(request, ATTRIBUTE, _plan_of(catalogue, request))
        return hasher(request)

    return hashed


def _plan_of(catalogue: Catalogue, request: Any) -> AdmittedPlan | None:
    sampling = request.sampling_params
    return None if sampling is None else catalogue.admit(sampling.extra_args, request.num_prompt_tokens)


def _with_plans(prompt_embeds_keys: Callable[..., Any]) -> Callable[..., Any]:
    def keys(request: Any, start_token_idx: int, end_token_idx: int) -> Any:
        plan: AdmittedPlan | None = getattr(request, ATTRIBUTE, None)
        if plan is None and not hasattr(request, ATTRIBUTE) and _has_message(request):
            raise RuntimeAttachError(
                f"blocks of request {request.request_id} are hashed, but its plan was never read"
            )
        own = () if plan is None else plan.block_keys(end_token_idx)
        return prompt_embeds_keys(request, start_token_idx, end_token_idx) + [(KEY, name) for name in own]

    return keys


def _has_message(request: Any) -> bool:
    sampling = request.sampling_params
    return sampling is not None and bool(sampling.extra_args) and KEY in sampling.extra_args
