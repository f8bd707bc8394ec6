"""Forward passes of training: through the same bank as serving, so that what is trained is what is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry
from breakers.runtime import TorchRuntime
from breakers.training.batches import Batch, Sample, collate
from breakers.training.heads import head_at
from breakers.training.prompts import PromptStates, can_reuse_prompts
from breakers.training.untouched import UntouchedLogits

_TRIED = 4
"""Samples on which reuse of prompts is tried."""


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
    with _steered(model, sites, entries, batch.token_strengths(strengths)):
        return plain_logits(model, batch)


def plain_logits(model: PreTrainedModel, batch: Batch) -> Float[Tensor, "target vocab"]:
    """Logits at the targets of a batch: the others, most of them the prompt's, are never computed."""
    placed = batch.to(model.device)
    with head_at(model, placed.targets):
        logits: Tensor = model(input_ids=placed.ids, use_cache=False).logits
    return logits


class Forwards:
    """Steered and untouched logits of samples, with what the untouched model computes on them kept.

    Replies are run from kept states of their prompts where a trial shows that this model allows it, else with their
    prompts. Either way scope is `generation`: interventions act from the last prompt token on.
    """

    def __init__(self, model: PreTrainedModel, sites: ModelSites, samples: Sequence[Sample], budget: int) -> None:
        """Try the reuse of prompts; nothing else is computed yet.

        Args:
            model: the base model, frozen.
            sites: of that model.
            samples: all that training will ask for, at least one.
            budget: bytes to keep, at most; a tenth of it is for untouched logits.
        """
        self.model, self.sites = model, sites
        self.pad = pad_token(model)
        self.reuses_prompts = can_reuse_prompts(model, samples[:_TRIED], self.pad)
        self._prompts = None
        if self.reuses_prompts:
            self._prompts = PromptStates(model, [s.prompt for s in samples], budget - budget // 10, self.pad)
        self._untouched = UntouchedLogits(model, samples, budget // 10, self.pad)

    def length(self, sample: Sample) -> int:
        """Tokens of a sample that a step runs."""
        return len(sample.reply) if self.reuses_prompts else len(sample)

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """Samples as tensors, on the model's device."""
        return collate(samples, self.pad).to(self.model.device)

    def steered(
        self, samples: Sequence[Sample], entries: Sequence[BankEntry], strengths: Float[Tensor, "batch entry"]
    ) -> Float[Tensor, "target vocab"]:
        """Logits at the reply tokens, row after row, in float32.

        Args:
            samples: prompts and replies.
            entries: what is loaded; gradients flow into the tensors of its interventions.
            strengths: of each entry in each row.
        """
        if self._prompts is None:
            whole = collate(samples, self.pad)
            return steered_logits(self.model, self.sites, entries, whole, strengths).float()
        replies = self._prompts.replies(samples)
        with _steered(self.model, self.sites, entries, replies.token_strengths(strengths)):
            return self._prompts.logits(replies).float()

    def untouched(self, samples: Sequence[Sample]) -> Float[Tensor, "target vocab"]:
        """Logits of the unmodified model at the reply tokens, row after row, in float32."""
        return self._untouched.of(samples).float()


def pad_token(model: PreTrainedModel) -> int:
    """The padding token's id; 0 where the model names none, because padding is never looked at."""
    pad = model.config.get_text_config().pad_token_id
    return 0 if pad is None else int(pad)


@contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """The model's parameters need no gradient inside, and it drops nothing out; as it was, outside."""
    needed = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    training = model.training
    model.requires_grad_(False)
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        for parameter, flag in needed:
            parameter.requires_grad_(flag)


@contextmanager
def _steered(
    model: PreTrainedModel, sites: ModelSites, entries: Sequence[BankEntry], strengths: Float[Tensor, "token entry"]
) -> Iterator[None]:
    bank = Bank(sites, entries, device=model.device, dtype=model.dtype)
    runtime = TorchRuntime(model, bank)
    with runtime.attached(), runtime.forward_strengths(bank.token_strengths(strengths)):
        yield
