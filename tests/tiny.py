"""Tiny random models of each supported architecture, seeded, on the CPU in fp32."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    PretrainedConfig,
    PreTrainedModel,
)

VOCAB = 96


def tiny_config(model_type: str) -> PretrainedConfig:
    """A configuration small enough for milliseconds, with the architecture's peculiarities switched on."""
    shared = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if model_type == "llama":
        return LlamaConfig(**shared, intermediate_size=48)
    if model_type == "gpt2":
        return GPT2Config(
            vocab_size=VOCAB, n_embd=32, n_layer=3, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2
        )
    if model_type == "gemma3_text":
        # head_dim is not hidden_size / heads, and two of three layers slide over 8 tokens.
        layers = ["sliding_attention", "sliding_attention", "full_attention"]
        return Gemma3TextConfig(
            **shared,
            intermediate_size=48,
            head_dim=16,
            sliding_window=8,
            layer_types=layers,
            query_pre_attn_scalar=16,
        )
    if model_type == "mixtral":
        return MixtralConfig(**shared, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2)
    raise ValueError(f"no tiny configuration for {model_type!r}")


TINY_TYPES = ("llama", "gpt2", "gemma3_text", "mixtral")


def tiny_model(model_type: str, seed: int = 0) -> PreTrainedModel:
    """A random model whose logits are spread enough that greedy choices are not ties."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(model_type)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 0.25, generator=torch.Generator().manual_seed(hash_name(name, seed)))
    return model


def hash_name(name: str, seed: int) -> int:
    """A seed per parameter that does not depend on Python's hash randomisation."""
    return sum((i + 1) * ord(c) for i, c in enumerate(name)) + 7919 * seed
