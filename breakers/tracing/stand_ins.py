"""Modules whose output is known, and is handed out instead of being computed.

The output of a projection is often also that of the module around it (a whole attention, a whole MLP); which one is
found by looking at a run, not by a table: the outermost module that returns the projection's own tensor, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from breakers.errors import TracingError
from breakers.tracing.activations import by_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a module returned: its tensor, and what came with it."""

    tensor: Tensor
    rest: tuple[Any, ...] | None = None
    """The other members of a tuple; None where the tensor came alone."""

    @classmethod
    def of(cls, returned: Any) -> Output:
        """Read a module's return value.

        Raises:
            TracingError: it does not start with a tensor.
        """
        tensor, rest = (returned[0], tuple(returned[1:])) if isinstance(returned, tuple) else (returned, None)
        if not isinstance(tensor, Tensor):
            raise TracingError(
                f"a module returned {type(tensor).__name__}; wanted a tensor, alone or first in a tuple"
            )
        return cls(tensor=tensor, rest=rest)

    def with_tensor(self, tensor: Float[Tensor, "row pos d_model"]) -> Any:
        """The same return value around another tensor, flattened where this one is."""
        shaped = tensor.flatten(0, 1) if self.tensor.ndim == 2 else tensor
        return shaped if self.rest is None else (shaped, *self.rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A module that returns a projection's output, as one run saw it."""

    module: nn.Module
    output: Output
    whole: bool
    """Whether it is a part of the block that computes more than the projection: all of it is saved."""

    def tensor(self, batch: int) -> Float[Tensor, "batch pos d_model"]:
        """What it returned."""
        return by_row(self.output.tensor, batch)

    def replaced(self, tensor: Float[Tensor, "row pos d_model"]) -> AbstractContextManager[None]:
        """A context in which the module is not run and returns `tensor`."""
        return replaced_forward(self.module, lambda *_args, **_kwargs: self.output.with_tensor(tensor))


class StandInSearch:
    """Watches a run for the outermost module that returns the output of a projection."""

    def __init__(self, block: nn.Module, projection: nn.Module) -> None:
        """`projection`: anywhere within `block`."""
        self._around = _path(block, projection)
        self._original: Tensor | None = None
        self._found: StandIn | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the forward passes inside."""
        with ExitStack() as hooks:
            for module in self._around:
                hooks.callback(module.register_forward_hook(self._note).remove)
            yield

    @property
    def found(self) -> StandIn:
        """The outermost module seen.

        Raises:
            TracingError: the projection was not run.
        """
        if self._found is None:
            raise TracingError("a forward pass went by a projection without running it; it cannot be patched")
        return self._found

    def _note(self, module: nn.Module, _args: Any, returned: Any) -> None:
        output = Output.of(returned)
        if module is self._around[-1]:
            self._original = output.tensor
            # A copy: a later operation in place would change what is compared, and handed out.
            kept = Output(tensor=output.tensor.detach().clone(), rest=output.rest)
            self._found = StandIn(module=module, output=kept, whole=False)
        elif self._found is not None and self._is_the_projection(output.tensor):
            kept = Output(tensor=self._found.output.tensor, rest=output.rest)
            self._found = StandIn(module=module, output=kept, whole=module is self._around[0])
        else:
            # What is further out returns something else too.
            self._original = None

    def _is_the_projection(self, tensor: Tensor) -> bool:
        if self._found is None or self._original is None:
            return False
        same_place = tensor.data_ptr() == self._original.data_ptr() and tensor.shape == self._original.shape
        return same_place and torch.equal(tensor, self._found.output.tensor)


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Run `forward` instead of the module's own; as it was on leaving, also after an error."""
    had = "forward" in vars(module)
    before = vars(module).get("forward")
    setattr(module, "forward", forward)  # noqa: B010 - mypy: assigning to a method
    try:
        yield
    finally:
        if had:
            setattr(module, "forward", before)  # noqa: B010
        else:
            delattr(module, "forward")


def _path(block: nn.Module, projection: nn.Module) -> list[nn.Module]:
    """Modules from just below `block` down to `projection`."""
    name = next((name for name, module in block.named_modules() if module is projection), None)
    if not name:
        raise TracingError(f"{type(projection).__name__} is not within its {type(block).__name__}")
    parts = name.split(".")
    return [block.get_submodule(".".join(parts[: depth + 1])) for depth in range(len(parts))]
