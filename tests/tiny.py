"""Tiny random models of each supported architecture, seeded, on the CPU in fp32."""

from __future__ import annotations

import torch
from tiny_configs import TINY_CONFIGS, VOCAB, tiny_config
from transformers import AutoModelForCausalLM, PreTrainedModel

__all__ = ["ALL_TYPES", "TINY_TYPES", "VOCAB", "tiny_config", "tiny_model"]

TINY_TYPES = ("llama", "gpt2", "gemma3_text", "mixtral")
"""Those that the whole suites run on."""

ALL_TYPES = tuple(TINY_CONFIGS)
"""Those that the architecture contract runs on."""


def tiny_model(model_type: str, seed: int = 0) -> PreTrainedModel:
    """A random model whose logits are spread enough that greedy choices are not ties."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(model_type)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Biases would be 0 and sinks all alike; the first four types are as they always were.
            drawn = weight.ndim >= 2 or (model_type not in TINY_TYPES and name.endswith(("bias", "sinks")))
            if drawn:
                weight.normal_(0, 0.25, generator=torch.Generator().manual_seed(hash_name(name, seed)))
    return model


def hash_name(name: str, seed: int) -> int:
    """A seed per parameter that does not depend on Python's hash randomisation."""
    return sum((i + 1) * ord(c) for i, c in enumerate(name)) + 7919 * seed
