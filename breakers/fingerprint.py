"""Which base model this is: a hash of sizes and of tensors that weight quantisation leaves alone.

Embedding and final norm are hashed as bfloat16 whatever they are stored or loaded in, so that one checkpoint has
one fingerprint in fp32 and in bf16 (see docs/decisions/0001-fingerprint.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from breakers.architectures import ARCHITECTURES, submodule
from breakers.errors import UnsupportedModelError

_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")


def fingerprint_model(model: PreTrainedModel) -> str:
    """`sha256:` and 64 hex digits.

    Raises:
        UnsupportedModelError: the architecture is not in the table.
    """
    architecture = ARCHITECTURES.get(str(model.config.model_type))
    if architecture is None:
        raise UnsupportedModelError(f"no fingerprint for model_type {model.config.model_type!r}")
    weights = [_weight(model, path) for path in (architecture.embedding, architecture.final_norm)]
    return fingerprint_weights(model.config, weights)


def fingerprint_weights(config: PretrainedConfig, weights: Sequence[Tensor | None]) -> str:
    """The same from the tensors themselves, for a model that other software holds.

    Args:
        config: of the model.
        weights: embedding and final norm, as the checkpoint has them; None for one that the model has not.
    """
    digest = hashlib.sha256(_sizes(config.get_text_config()).encode())
    for weight in weights:
        if weight is None:
            digest.update(b"none")
        else:
            digest.update(weight.detach().cpu().to(torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _weight(model: PreTrainedModel, path: str) -> Tensor | None:
    if _lacks(model, path):
        return None
    weight = submodule(model, path).weight
    if not isinstance(weight, Tensor):
        raise UnsupportedModelError(f"{path} has no weight to fingerprint")
    return weight


def _lacks(model: PreTrainedModel, path: str) -> bool:
    """Whether the model itself says that it has no such module, as OPT 350M does of its final norm."""
    parent, _, name = path.rpartition(".")
    return getattr(submodule(model, parent), name, model) is None


def _sizes(config: PretrainedConfig) -> str:
    sizes = {name: getattr(config, name, None) for name in _SIZES}
    return json.dumps({"model_type": config.model_type, **sizes}, sort_keys=True)
