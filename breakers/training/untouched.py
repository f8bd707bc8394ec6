"""Logits of the unmodified model at the reply tokens of samples, which L_preserve compares with again and again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.training.batches import Sample, collate
from breakers.training.heads import head_at
from breakers.training.kept import Kept


class UntouchedLogits:
    """Kept as what enters the output embedding, or, where that is not all that makes logits, as logits."""

    def __init__(self, model: PreTrainedModel, samples: Sequence[Sample], budget: int, pad: int) -> None:
        """Look at one sample; the others are computed when asked for.

        Args:
            model: the base model, frozen.
            samples: those that will come often, at least one.
            budget: bytes to keep, at most.
            pad: token id for padding.
        """
        self._model, self._pad = model, pad
        hidden, logits = self._run(samples[:1])
        # Some families scale or bend logits after the output embedding.
        self._as_hidden = torch.equal(self._head(hidden), logits)
        like = hidden if self._as_hidden else logits
        self._kept = Kept(
            samples, self._compute, length=lambda s: len(s.reply), token_bytes=like[0].nbytes, budget=budget
        )

    @torch.no_grad()
    def of(self, samples: Sequence[Sample]) -> Float[Tensor, "target vocab"]:
        """Logits at the reply tokens, row after row."""
        values = torch.cat(self._kept.get(samples))
        return self._head(values) if self._as_hidden else values

    def _compute(self, samples: Sequence[Sample]) -> list[Tensor]:
        hidden, logits = self._run(samples)
        rows = torch.split(hidden if self._as_hidden else logits, [len(sample.reply) for sample in samples])
        return [row.clone() for row in rows]

    @torch.no_grad()
    def _run(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        batch = collate(samples, self._pad).to(self._model.device)
        seen: list[Tensor] = []
        with head_at(self._model, batch.targets, seen.append):
            logits: Tensor = self._model(input_ids=batch.ids, use_cache=False).logits
        return seen[0], logits

    def _head(self, hidden: Tensor) -> Tensor:
        head = self._model.get_output_embeddings()
        with torch.no_grad():
            logits: Tensor = head(hidden)
        return logits
