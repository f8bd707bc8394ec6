"""How long a sequence of this model may be in a packed batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from server.engines.embedded.errors import EngineConfigError


def usable_positions(config: PretrainedConfig, asked: int | None) -> int:
    """Positions of the model, or the shorter length up to which its rotation is the same for all requests.

    `longrope` rotates every token of a forward by other frequencies as soon as one of them is beyond the original
    length: in a packed batch one long request would change the others, and the keys that they have cached.

    Args:
        config: of the model's text part.
        asked: `max_model_len`, if it was set.

    Raises:
        EngineConfigError: `asked` is more than such a model can have in a batch.
    """
    positions = int(config.max_position_embeddings)
    originals = [
        int(rope.get("original_max_position_embeddings", positions))
        for rope in _rotations(getattr(config, "rope_parameters", None))
        if rope.get("rope_type") == "longrope"
    ]
    usable = min([positions, *originals])
    if asked is not None and usable < asked <= positions:
        raise EngineConfigError(
            f"max_model_len is {asked}; this model changes its rotation (longrope) beyond {usable} tokens, for all "
            f"requests of a batch at once, so wanted at most {usable}"
        )
    return usable


def _rotations(parameters: Any) -> list[Mapping[str, Any]]:
    """Rotation parameters are one mapping, or one for each type of layer."""
    if not isinstance(parameters, Mapping):
        return []
    nested = [value for value in parameters.values() if isinstance(value, Mapping)]
    return nested or [parameters]
