"""A layer's routed experts, as transformers' experts interface describes them: stacked weights and a few flags."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from breakers.errors import UnsupportedModelError

FLAGS = ("has_gate", "has_bias", "is_transposed", "has_post_expert_norm")
"""What `use_experts_implementation` of transformers notes on an experts module about its weights."""

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertLayer:
    """The routed experts of one layer."""

    module: nn.Module
    """Holds the stacked weights; called with the tokens and their routing."""
    count: int
    width: int
    """Neurons of each expert."""


def expert_layer(module: nn.Module) -> ExpertLayer:
    """Measure an experts module.

    Raises:
        UnsupportedModelError: it does not describe itself as the experts interface asks, its weights are packed
            or not floating, or its experts live in several processes.
    """
    name = type(module).__name__
    missing = [flag for flag in FLAGS if not hasattr(module, flag)]
    if missing:
        raise UnsupportedModelError(f"{name} is not behind transformers' experts interface: no {', '.join(missing)}")
    if getattr(module, "_is_expert_parallel", False):
        raise UnsupportedModelError(f"{name} is split over processes; wanted all experts in this one")
    into = "gate_up_proj" if module.has_gate else "up_proj"
    for weights in (into, "down_proj"):
        found = getattr(module, weights, None)
        if not isinstance(found, Tensor) or found.ndim != 3 or found.dtype not in _DTYPES:
            shown = f"{tuple(found.shape)} {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise UnsupportedModelError(f"{name}.{weights} is {shown}; wanted unpacked stacked weights, 3-d floats")
    count, first, second = getattr(module, "down_proj").shape  # noqa: B009 - mypy: an attribute of a Module is Any
    return ExpertLayer(module=module, count=count, width=first if module.is_transposed else second)
