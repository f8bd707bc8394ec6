"""Positions of padded batches, for the models that take them."""

from __future__ import annotations

import inspect

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel


def position_arguments(model: PreTrainedModel, positions: Int[Tensor, "batch pos"]) -> dict[str, Tensor]:
    """What to hand to a forward; nothing for a model that reads positions off the attention mask."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return {}
    return {"position_ids": positions.to(model.device)}
