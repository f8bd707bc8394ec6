"""Linear layers in float32 on the CPU, with their weights laid out for oneDNN.

torch multiplies float32 matrices with MKL there, which lays a weight out anew at every call. With the few rows of a
decode step that takes longer than the product; oneDNN takes a weight that was laid out once. Layers that read the
same input, such as queries', keys' and values' projections, are one product. Results differ from
`torch.nn.functional.linear` in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers of one module that are usually given the same input; with another one they still work."""


@contextmanager
def packed_linears(model: nn.Module, smallest: int = SMALLEST) -> Iterator[int]:
    """Let the model's linear layers use laid-out weights until the block ends; yields how many do.

    Hooks on the layers run as before. Weights must not change inside the block, and there are no gradients.
    """
    chosen = [m for m in model.modules() if type(m) is nn.Linear and _fits(m.weight, smallest)]
    if sum(m.weight.numel() * m.weight.element_size() for m in chosen) > MEMORY_LIMIT:
        chosen = []
    try:
        for modules in _grouped(model, chosen):
            joint = _JointProduct(modules)
            for number, module in enumerate(modules):
                # On the instance, where it hides the class's own until it is taken away again.
                vars(module)["forward"] = joint.part(number) if len(modules) > 1 else joint.multiply
        yield len(chosen)
    finally:
        for module in chosen:
            vars(module).pop("forward", None)


def _fits(weight: Tensor, smallest: int) -> bool:
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and weight.numel() >= smallest and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def _grouped(model: nn.Module, chosen: Sequence[nn.Linear]) -> list[list[nn.Linear]]:
    """`chosen`, those that may be one product together."""
    alone = {id(module): module for module in chosen}
    groups: list[list[nn.Linear]] = []
    for parent in model.modules():
        for names in SIBLINGS:
            found = [getattr(parent, name, None) for name in names]
            group = [m for m in found if isinstance(m, nn.Linear) and id(m) in alone]
            alike = len({(m.in_features, m.bias is None) for m in group}) == 1
            if len(group) == len(names) == len({id(m) for m in group}) and alike:
                groups.append([alone.pop(id(m)) for m in group])
    return groups + [[module] for module in alone.values()]


class _JointProduct:
    """Linear layers as one; whichever is called first computes what the others are then asked for."""

    def __init__(self, modules: Sequence[nn.Linear]) -> None:
        operations = torch.ops.mkldnn
        self._packed = operations._reorder_linear_weight(torch.cat([m.weight.detach() for m in modules]), ROWS)
        biases = [m.bias.detach() for m in modules if m.bias is not None]
        self._bias = torch.cat(biases) if biases else None
        self._operation = operations._linear_pointwise.default
        self._sizes = [m.out_features for m in modules]
        self._input: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}
        """Results for `_input` that were not asked for yet, by number."""

    def multiply(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        """All layers' results side by side."""
        result: Tensor = self._operation(x, self._packed, self._bias, "none", [], "")
        return result

    def part(self, number: int) -> Callable[[Tensor], Tensor]:
        """The forward of one of the layers."""

        def forward(x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
            # Each result is given out once: the next forward may bring the same tensor with other contents.
            if self._input is not x or number not in self._waiting:
                self._waiting = dict(enumerate(self.multiply(x).split_with_sizes(self._sizes, -1)))
            result = self._waiting.pop(number)
            self._input = x if self._waiting else None
            return result

        return forward
