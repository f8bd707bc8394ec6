"""Linear layers in float32 on the CPU, with their weights laid out for oneDNN.

torch multiplies float32 matrices with MKL there, which lays a weight out anew at every call. With the few rows of a
decode step that takes longer than the product; oneDNN takes a weight that was laid out once. Results differ from
`torch.nn.functional.linear` in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST = 128 * 128
"""Elements of a weight from which this pays."""

MEMORY_LIMIT = 4 * 2**30
"""Bytes of weights: what is laid out is held twice, so larger models are left as they are."""

ROWS = 16
"""Rows that the layout is chosen for; any number works."""


@contextmanager
def packed_linears(model: nn.Module, smallest: int = SMALLEST) -> Iterator[int]:
    """Let the model's linear layers use laid-out weights until the block ends; yields how many do.

    Hooks on the layers run as before. Weights must not change inside the block, and there are no gradients.
    """
    chosen = [m for m in model.modules() if type(m) is nn.Linear and _fits(m.weight, smallest)]
    if sum(m.weight.numel() * m.weight.element_size() for m in chosen) > MEMORY_LIMIT:
        chosen = []
    try:
        for module in chosen:
            # On the instance, where it hides the class's own until it is taken away again.
            vars(module)["forward"] = _packed_forward(module)
        yield len(chosen)
    finally:
        for module in chosen:
            vars(module).pop("forward", None)


def _fits(weight: Tensor, smallest: int) -> bool:
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and weight.numel() >= smallest and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def _packed_forward(module: nn.Linear) -> Callable[[Tensor], Tensor]:
    operations = torch.ops.mkldnn
    packed = operations._reorder_linear_weight(module.weight.detach(), ROWS)
    bias = None if module.bias is None else module.bias.detach()
    multiply = operations._linear_pointwise.default

    def forward(x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        result: Tensor = multiply(x, packed, bias, "none", [], "")
        return result

    return forward
