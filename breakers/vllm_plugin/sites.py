"""Where a vLLM model has its hook points: vLLM names modules as transformers does, and shards projections by rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from breakers.architectures import ARCHITECTURES, Architecture, ModelSites, submodule
from breakers.errors import UnsupportedModelError
from breakers.sites import Boundary, HookPoint

TESTED_TYPES = ("gemma3_text", "llama", "mixtral", "qwen3")
"""Values of `model_type` whose vLLM implementation the tests compare with transformers'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The channels of a hook point that this rank holds."""

    start: int
    stop: int
    width: int
    """Of the whole hook point."""

    @property
    def whole(self) -> bool:
        """Whether no other rank holds channels of it."""
        return self.stop - self.start == self.width


def vllm_sites(model: nn.Module, config: Any) -> ModelSites:
    """Find every hook point of a model that vLLM has loaded. Routed experts have none: their kernels are fused.

    Args:
        model: the causal LM, all its layers on this rank.
        config: of transformers, for this model.

    Raises:
        UnsupportedModelError: the tests do not cover this architecture, or a module is not what is expected.
    """
    model_type = str(config.model_type)
    if model_type not in TESTED_TYPES:
        raise UnsupportedModelError(f"model_type {model_type!r} in vLLM; the tests cover: {', '.join(TESTED_TYPES)}")
    architecture = ARCHITECTURES[model_type]
    blocks = list(submodule(model, architecture.layers).children())
    attention = [submodule(block, architecture.attention_out) for block in blocks]
    downs = {n: down for n, block in enumerate(blocks) if (down := _down_projection(architecture, block)) is not None}
    heads, d_head = _heads(model_type, config, attention)
    widths = {n: projection_shard(down).width for n, down in downs.items()}
    modules = {HookPoint(n, Boundary.ATTENTION_OUT_INPUT): module for n, module in enumerate(attention)}
    modules |= {HookPoint(n, Boundary.BLOCK_OUTPUT): block for n, block in enumerate(blocks)}
    modules |= {HookPoint(n, Boundary.MLP_DOWN_INPUT): module for n, module in downs.items()}
    return ModelSites(
        model_type=model_type,
        layers=len(blocks),
        heads=heads,
        d_head=d_head,
        d_model=int(config.get_text_config().hidden_size),
        d_mlp=widths[0] if len(set(widths.values())) == 1 and len(widths) == len(blocks) else None,
        no_neurons="its layers are mixtures of experts, whose kernels vLLM fuses",
        no_experts="vLLM computes all experts of a layer in one kernel",
        modules=modules,
        mlp_widths=widths,
        experts={},
    )


def point_shard(sites: ModelSites, point: HookPoint) -> Shard:
    """This rank's channels of a hook point; the residual stream is whole on every rank."""
    if point.boundary is Boundary.BLOCK_OUTPUT:
        return Shard(start=0, stop=sites.d_model, width=sites.d_model)
    return projection_shard(sites.module(point))


def projection_shard(module: nn.Module) -> Shard:
    """This rank's input channels of an output or down projection.

    Raises:
        UnsupportedModelError: it is none that is split by its input.
    """
    from vllm.model_executor.layers.linear import RowParallelLinear

    base = without_adapter(module)
    if not isinstance(base, RowParallelLinear) or not base.input_is_parallel:
        raise UnsupportedModelError(f"{type(base).__name__} where a RowParallelLinear with split input was wanted")
    size, rank = int(base.input_size_per_partition), int(base.tp_rank)
    return Shard(start=rank * size, stop=(rank + 1) * size, width=int(base.input_size))


def without_adapter(module: nn.Module) -> nn.Module:
    """The model's own layer, also where vLLM has put one with LoRA adapters in its place."""
    from vllm.lora.layers import BaseLayerWithLoRA

    return cast(nn.Module, module.base_layer) if isinstance(module, BaseLayerWithLoRA) else module


def _down_projection(architecture: Architecture, block: nn.Module) -> nn.Module | None:
    for path in architecture.mlp_down:
        try:
            return block.get_submodule(path)
        except AttributeError:
            continue
    return None


def _heads(model_type: str, config: Any, attention: list[nn.Module]) -> tuple[int, int]:
    """Heads and d_head, measured on the projections as for transformers' models."""
    widths = {projection_shard(module).width for module in attention}
    heads = int(config.get_text_config().num_attention_heads)
    if len(widths) != 1 or next(iter(widths)) % heads:
        found = ", ".join(str(width) for width in sorted(widths))
        raise UnsupportedModelError(f"{model_type}: attention outputs are {found} wide, with {heads} heads")
    return heads, next(iter(widths)) // heads
