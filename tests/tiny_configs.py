"""Tiny configurations of every architecture in the table, each with its peculiarities switched on."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PretrainedConfig

VOCAB = 96

_SPECIALS = {"vocab_size": VOCAB, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

_GROUPED = {
    **_SPECIALS,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "intermediate_size": 48,
}
"""Two query heads to a key head."""

_UNGROUPED = {name: size for name, size in _GROUPED.items() if name != "num_key_value_heads"}

# Windows of 8 tokens, shorter than the tests' prompts.
_SLIDING = {
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}

_GEMMA3 = {**_GROUPED, **_SLIDING, "head_dim": 16, "query_pre_attn_scalar": 16}
"""head_dim is not hidden_size / heads."""

TINY_CONFIGS: dict[str, dict[str, Any]] = {
    # Parallel residual, norms of queries and keys, scaled logits, tied embeddings.
    "cohere": {**_GROUPED, "use_qk_norm": True, "logit_scale": 0.25, "attention_bias": True},
    # Latent attention with values narrower than keys; layer 0 dense, then grouped routing and shared experts.
    "deepseek_v3": {
        **_GROUPED,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 12,
        "n_shared_experts": 2,
        "n_routed_experts": 8,
        "num_experts_per_tok": 3,
        "n_group": 4,
        "topk_group": 2,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 16,
        "q_lora_rank": 24,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 12,
        "v_head_dim": 10,
        "num_mtp_layers": 0,
    },
    # One key head for all, a head_dim of its own, tied and scaled embeddings.
    "gemma": {**_GROUPED, "num_key_value_heads": 1, "head_dim": 12},
    # Capped attention scores and logits, every other layer slides.
    "gemma2": {
        **_GROUPED,
        "head_dim": 16,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
        "query_pre_attn_scalar": 16,
    },
    "gemma3": {
        "text_config": _GEMMA3,
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
        },
        "mm_tokens_per_image": 4,
        # Beyond the vocabulary: no text token stands for an image.
        "image_token_index": VOCAB + 2,
        "boi_token_index": VOCAB,
        "eoi_token_index": VOCAB + 1,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "gemma3_text": _GEMMA3,
    # Transposed projections (Conv1D), learned positions.
    "gpt2": {
        "vocab_size": VOCAB,
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    # Parallel residual, half of each head rotated, biases.
    "gpt_neox": {
        **_UNGROUPED,
        "use_parallel_residual": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
    # Attention sinks, every other layer slides, biases in attention and experts.
    "gpt_oss": {
        **_GROUPED,
        "intermediate_size": 24,
        "head_dim": 12,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    # Four multipliers of its own.
    "granite": {
        **_GROUPED,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.2,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "head_dim": 12, "sliding_window": 8},
    "mixtral": {**_GROUPED, "intermediate_size": 24, "num_local_experts": 4, "num_experts_per_tok": 2},
    # Norms of whole queries and keys, and after attention and MLP instead of before.
    "olmo2": _GROUPED,
    # Learned positions with an offset, narrower embeddings, the MLP on the layer itself.
    "opt": {
        **_SPECIALS,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "ffn_dim": 48,
        "word_embed_proj_dim": 24,
    },
    # Parallel residual, half of each head rotated, norms of queries and keys, biases.
    "phi": {
        **_GROUPED,
        "qk_layernorm": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
    # Fused projections, three quarters of each head rotated, sliding everywhere.
    "phi3": {
        **_GROUPED,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "sliding_window": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
    },
    # Biases of queries, keys and values.
    "qwen2": {**_GROUPED, **_SLIDING, "use_sliding_window": True},
    # Layer 0 dense, then a gated shared expert beside the routed ones.
    "qwen2_moe": {
        **_GROUPED,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 20,
        "mlp_only_layers": [0],
    },
    # Norms of queries and keys, a head_dim of its own.
    "qwen3": {**_GROUPED, **_SLIDING, "use_sliding_window": True, "head_dim": 12},
    # Layer 1 dense, the others routed only.
    "qwen3_moe": {
        **_GROUPED,
        "head_dim": 12,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "norm_topk_prob": True,
        "moe_intermediate_size": 16,
        "mlp_only_layers": [1],
    },
    # Layers without rotation.
    "smollm3": {**_GROUPED, "no_rope_layers": [1, 0, 1], "tie_word_embeddings": True},
    "starcoder2": {**_GROUPED, "sliding_window": 8, "use_bias": True},
}


def tiny_config(model_type: str) -> PretrainedConfig:
    """A configuration small enough for milliseconds."""
    if model_type not in TINY_CONFIGS:
        raise ValueError(f"no tiny configuration for {model_type!r}")
    return AutoConfig.for_model(model_type, **TINY_CONFIGS[model_type])
