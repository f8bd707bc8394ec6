"""What the plugin refuses to start with, because nothing tests that every token then gets its own strength."""

from __future__ import annotations

from typing import Any

from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin.canary import COSINE


def check_supported(vllm_config: Any) -> None:
    """Refuse an engine whose configuration the tests do not cover.

    Raises:
        RuntimeAttachError: naming everything at fault.
    """
    reasons = [reason for reason, found in _untested(vllm_config).items() if found]
    if reasons:
        raise RuntimeAttachError(f"bundles cannot be served with {', '.join(reasons)}")


def _untested(vllm_config: Any) -> dict[str, bool]:
    model, parallel = vllm_config.model_config, vllm_config.parallel_config
    return {
        f"a model of runner type {model.runner_type!r}": model.runner_type != "generate",
        f"activations of {model.dtype}": model.dtype not in COSINE,
        "an encoder-decoder model": model.is_encoder_decoder,
        "a diffusion model": model.is_diffusion,
        f"weights quantised as {model.quantization!r}": model.quantization is not None,
        # Its second level discards what was allocated beside the weights, as the table of strengths.
        "sleep mode": model.enable_sleep_mode,
        "speculative decoding": vllm_config.speculative_config is not None,
        # Plans beside adapters in one batch do not agree with the reference yet.
        "LoRA adapters": vllm_config.lora_config is not None,
        "a KV connector": vllm_config.kv_transfer_config is not None,
        # A step's tokens are then not all in one forward, or not in the order of the strengths.
        "pipeline parallelism": parallel.pipeline_parallel_size > 1,
        "data parallelism": parallel.data_parallel_size > 1,
        "prefill context parallelism": parallel.prefill_context_parallel_size > 1,
        "decode context parallelism": parallel.decode_context_parallel_size > 1,
        "micro-batches": parallel.use_ubatching,
        "fast prefill of layers that share keys": vllm_config.cache_config.kv_sharing_fast_prefill,
    }
