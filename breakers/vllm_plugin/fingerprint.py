"""The base model's fingerprint, from the tensors that vLLM holds: padded to its blocks and split over ranks."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from breakers.architectures import ARCHITECTURES, submodule
from breakers.fingerprint import fingerprint_model


def vllm_fingerprint(model: nn.Module, config: Any) -> str:
    """`sha256:` and 64 hex digits, as for the same checkpoint in transformers.

    Args:
        model: vLLM's causal LM; with several ranks, all of them call this.
        config: of transformers, for this model.
    """
    architecture = ARCHITECTURES[str(config.model_type)]
    seen = nn.Module()
    seen.config = config
    _place(seen, architecture.embedding, _whole_embedding(submodule(model, architecture.embedding)))
    _place(seen, architecture.final_norm, cast(Tensor, submodule(model, architecture.final_norm).weight))
    # All that it reads of a model is there.
    return fingerprint_model(cast(PreTrainedModel, seen))


def _whole_embedding(embedding: nn.Module) -> Tensor:
    from vllm.distributed import tensor_model_parallel_all_gather

    weight = tensor_model_parallel_all_gather(embedding.weight, dim=0)
    return cast(Tensor, weight[: cast(int, embedding.org_vocab_size)])


def _place(root: nn.Module, path: str, weight: Tensor) -> None:
    """Put a module with this weight at a dotted path."""
    for name in path.split("."):
        if not hasattr(root, name):
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    root.register_buffer("weight", weight, persistent=False)
