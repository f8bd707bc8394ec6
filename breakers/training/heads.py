"""The output embedding at some positions only: logits elsewhere, mostly the prompt's, are never computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.errors import InterventionError


@contextmanager
def head_at(
    model: PreTrainedModel,
    targets: Bool[Tensor, "batch pos"],
    seen: Callable[[Float[Tensor, "target d_model"]], None] | None = None,
) -> Iterator[None]:
    """Inside, the model's `logits` are (target, vocab), row after row.

    Args:
        model: a causal language model.
        targets: positions whose logits are computed.
        seen: told of what enters the output embedding there.

    Raises:
        InterventionError: the model has no output embedding.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise InterventionError(f"{type(model).__name__} has no output embedding; wanted a causal language model")

    def select(_module: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = args[0][targets]
        if seen is not None:
            seen(hidden)
        return (hidden, *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
