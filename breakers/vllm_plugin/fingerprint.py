"""The base model's fingerprint, from the tensors that vLLM holds: padded to its blocks and split over ranks."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from transformers import PretrainedConfig

from breakers.architectures import ARCHITECTURES, submodule
from breakers.fingerprint import fingerprint_weights
from breakers.vllm_plugin.sites import without_adapter


def vllm_fingerprint(model: nn.Module, config: PretrainedConfig) -> str:
    """`sha256:` and 64 hex digits, as for the same checkpoint in transformers.

    Args:
        model: vLLM's causal LM; with several ranks, all of them call this.
        config: of transformers, for this model.
    """
    architecture = ARCHITECTURES[str(config.model_type)]
    embedding = _whole_embedding(without_adapter(submodule(model, architecture.embedding)))
    return fingerprint_weights(config, [embedding, cast(Tensor, submodule(model, architecture.final_norm).weight)])


def _whole_embedding(embedding: nn.Module) -> Tensor:
    from vllm.distributed import tensor_model_parallel_all_gather

    weight = tensor_model_parallel_all_gather(embedding.weight, dim=0)
    return cast(Tensor, weight[: cast(int, embedding.org_vocab_size)])
