"""Matrices as 8-bit integers with a scale a row: a quarter of the bytes, dequantised once, at load.

A matrix `name` is stored as int8 under its name and its scales as float32 under `name.scale`; what has one axis
(biases, norms) stays as it is. Symmetric: 0 stays 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from classifiers.errors import ArtifactError

SCALE = ".scale"
_LARGEST = 127


def quantised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with its matrices in 8 bits; the error of an entry is at most 1/254 of its row's largest."""
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2 or not tensor.is_floating_point():
            stored[name] = tensor.contiguous()
            continue
        scale = tensor.float().abs().amax(dim=1) / _LARGEST
        steps = tensor.float() / torch.where(scale > 0, scale, torch.ones_like(scale))[:, None]
        stored[name] = steps.round().to(torch.int8).contiguous()
        stored[name + SCALE] = scale.contiguous()
    return stored


def dequantised(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state as floats, whether or not it was stored in 8 bits.

    Raises:
        ArtifactError: a matrix in 8 bits has no scales, or not one a row.
    """
    scales = {name for name in stored if name.endswith(SCALE)}
    return {
        name: _floats(name, tensor, stored.get(name + SCALE)) for name, tensor in stored.items() if name not in scales
    }


def _floats(name: str, tensor: Tensor, scale: Tensor | None) -> Tensor:
    if tensor.dtype != torch.int8:
        return tensor.float() if tensor.is_floating_point() else tensor
    if scale is None or scale.shape != tensor.shape[:1]:
        found = None if scale is None else tuple(scale.shape)
        raise ArtifactError(
            f"tensor {name!r} of {tuple(tensor.shape)} in 8 bits has scales {found}; wanted one a row"
        )
    return tensor.float() * scale.float()[:, None]
