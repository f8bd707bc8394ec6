"""The edit inside a vLLM model's forward: modules of hook points get a subclass whose forward passes through it.

What happens to a row is `HookBank`'s business. Here it is made fit for tracing and capture: tensors are buffers of
modules and never reassigned, offsets are constants, and nothing depends on which tokens are steered.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from breakers.bank import HookBank
from breakers.errors import RuntimeAttachError
from breakers.sites import Boundary, HookPoint
from breakers.vllm_plugin.sites import Shard

ATTRIBUTE = "scalpel_update"
"""Of a hook point's module."""


class SiteUpdate(nn.Module):
    """z -> z' at one hook point, for the strengths that the runner left in the shared buffer."""

    strengths: Tensor
    """(most tokens of a step, rows of all hook points)"""

    def __init__(self, hook: HookBank, strengths: Tensor, offset: int) -> None:
        """Prepare.

        Args:
            hook: this rank's part of the stacked interventions.
            strengths: the shared buffer.
            offset: of this hook point's rows in it.
        """
        super().__init__()
        self.register_buffer("strengths", strengths, persistent=False)
        for name in ("prune", "down", "up", "vectors"):
            self.register_buffer(name, getattr(hook, name), persistent=False)
        self._hook = hook
        self._first, self._last = offset, offset + hook.row_total

    def forward(self, z: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """z'; rows whose strengths are all 0 come out as they went in."""
        return self._edited(z, *self._rows(z))

    def residual(
        self, hidden: Float[Tensor, "token d_model"], residual: Float[Tensor, "token d_model"]
    ) -> tuple[Tensor, Tensor]:
        """The same for a stream that comes in two parts, whose sum the next norm takes.

        Touched rows go on as (z', 0), the others as the two parts that came.
        """
        rows, touched = self._rows(hidden)
        edited = self._edited(hidden + residual, rows, touched)
        return torch.where(touched, edited, hidden), torch.where(touched, torch.zeros_like(residual), residual)

    def _rows(self, z: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.strengths[: z.shape[0], self._first : self._last]
        return rows, (rows != 0).any(1, keepdim=True)

    def _edited(self, z: Tensor, rows: Tensor, touched: Tensor) -> Tensor:
        return self._hook.apply(z, self._hook.factors(rows, touched, False))


def shard_hook(point: HookPoint, hook: HookBank, shard: Shard) -> HookBank:
    """The part of a hook point's stacks that acts on this rank's channels.

    Raises:
        RuntimeAttachError: a breaker reads channels of several ranks.
    """
    if shard.whole:
        return hook
    mine = slice(shard.start, shard.stop)
    if hook.down is not None:
        _check_local(point, hook.down, shard)
    return dataclasses.replace(
        hook,
        prune=None if hook.prune is None else hook.prune[:, mine].contiguous(),
        down=None if hook.down is None else hook.down[mine],
        up=None if hook.up is None else hook.up[:, mine].contiguous(),
        vectors=None if hook.vectors is None else hook.vectors[:, mine].contiguous(),
    )


def attach(module: nn.Module, point: HookPoint, update: SiteUpdate) -> None:
    """Make a hook point's module pass its activations through `update`; has to be done before it is traced.

    Raises:
        RuntimeAttachError: it already has one.
    """
    if hasattr(module, ATTRIBUTE):
        raise RuntimeAttachError(f"{point} of this model is steered already")
    setattr(module, ATTRIBUTE, update)
    subclass = _steered_block if point.boundary is Boundary.BLOCK_OUTPUT else _steered_projection
    module.__class__ = subclass(type(module))


def _steered_projection(base: type[nn.Module]) -> type[nn.Module]:
    def forward(self: Any, activation: Any, *args: Any, **kwargs: Any) -> Any:
        return base.forward(self, self.scalpel_update(_unquantised(activation)), *args, **kwargs)

    return type(f"Steered{base.__name__}", (base,), {"forward": forward, "__module__": base.__module__})


def _steered_block(base: type[nn.Module]) -> type[nn.Module]:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = base.forward(self, *args, **kwargs)
        if isinstance(output, tuple):
            hidden, residual = output
            return self.scalpel_update.residual(hidden, residual)
        return self.scalpel_update(output)

    return type(f"Steered{base.__name__}", (base,), {"forward": forward, "__module__": base.__module__})


def _unquantised(activation: Any) -> Tensor:
    if not isinstance(activation, Tensor) or not activation.is_floating_point() or activation.ndim != 2:
        found = type(activation).__name__
        shown = f"{activation.ndim}-d {activation.dtype}" if isinstance(activation, Tensor) else found
        raise RuntimeAttachError(f"a projection was given {shown}; wanted unquantised activations by token")
    return activation


def _check_local(point: HookPoint, down: Float[Tensor, "width rows"], shard: Shard) -> None:
    size = shard.stop - shard.start
    read = torch.stack([(part != 0).any(0) for part in torch.split(down, size)])
    if bool((read.sum(0) > 1).any()):
        raise RuntimeAttachError(
            f"a breaker at {point} reads channels of several tensor-parallel ranks; wanted all within one"
        )
