"""Forward passes of training: through the same bank as serving, so that what is trained is what is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry
from breakers.errors import InterventionError
from breakers.runtime import TorchRuntime
from breakers.training.batches import Batch


def steered_logits(
    model: PreTrainedModel,
    sites: ModelSites,
    entries: Sequence[BankEntry],
    batch: Batch,
    strengths: Float[Tensor, "batch entry"],
) -> Float[Tensor, "target vocab"]:
    """Logits at the targets of a batch, under the interventions.

    Args:
        model: the base model.
        sites: of that model.
        entries: what is loaded; gradients flow into the tensors of its interventions.
        batch: prompts and replies.
        strengths: of each entry in each row, from generation_start to the end of the reply.
    """
    bank = Bank(sites, entries)
    runtime = TorchRuntime(model, bank)
    declared = bank.token_strengths(batch.token_strengths(strengths))
    with runtime.attached(), runtime.forward_strengths(declared):
        return plain_logits(model, batch)


def plain_logits(model: PreTrainedModel, batch: Batch) -> Float[Tensor, "target vocab"]:
    """Logits at the targets of a batch: the others, most of them the prompt's, are never computed."""
    with _head_at_targets(model, batch.targets):
        logits: Tensor = model(input_ids=batch.ids, use_cache=False).logits
    return logits


@contextmanager
def _head_at_targets(model: PreTrainedModel, targets: Tensor) -> Iterator[None]:
    head = model.get_output_embeddings()
    if head is None:
        raise InterventionError(f"{type(model).__name__} has no output embedding; wanted a causal language model")
    handle = head.register_forward_pre_hook(lambda _module, args: (args[0][targets], *args[1:]))
    try:
        yield
    finally:
        handle.remove()
