"""Token batches for training: fresh examples of each chunk, sorted by length, loss on the replies only."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from breakers.demo.corpus import generate
from breakers.demo.tokenizer import ASSISTANT, END, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Token ids, padded on the right, and which of them the model learns to write."""

    ids: Int[Tensor, "batch pos"]
    learned: Bool[Tensor, "batch pos"]
    """True at tokens of a reply (of every turn) and at its end token."""

    def slices(self, count: int) -> list[Batch]:
        """Cut the batch into at most ``count`` batches of about equally many rows."""
        parts = zip(self.ids.chunk(count), self.learned.chunk(count), strict=True)
        return [Batch(ids=ids, learned=learned) for ids, learned in parts]


def reply_mask(ids: Sequence[int], assistant: int, end: int) -> list[bool]:
    """Mark the tokens after each assistant mark up to and including the next end token."""
    mask, inside = [], False
    for token in ids:
        mask.append(inside)
        if token == assistant:
            inside = True
        elif token == end:
            inside = False
    return mask


def chunk_batches(
    tokenizer: PreTrainedTokenizerFast, *, seed: int, chunk: int, examples: int, batch_tokens: int, max_length: int
) -> Iterator[Batch]:
    """Yield the batches of one chunk of fresh examples, in random order.

    Args:
        tokenizer: the trained tokenizer.
        seed: the corpus seed.
        chunk: index of the chunk; each has its own examples.
        examples: examples in a chunk.
        batch_tokens: most tokens of a batch, padding included.
        max_length: longer conversations are left out.
    """
    rng = random.Random(f"batches-{seed}-{chunk}")
    texts = [render(e.messages, e.reply) for e in itertools.islice(generate(seed + 1 + chunk), examples)]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    rows = sorted((row for row in rows if len(row) <= max_length), key=lambda row: (len(row), rng.random()))
    groups: list[list[list[int]]] = [[]]
    for row in rows:
        if (len(groups[-1]) + 1) * len(row) > batch_tokens and groups[-1]:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    for group in groups:
        yield _pad(group, tokenizer)


def _pad(rows: list[list[int]], tokenizer: PreTrainedTokenizerFast) -> Batch:
    width = max(map(len, rows))
    assistant, end = tokenizer.convert_tokens_to_ids([ASSISTANT, END])
    pad = tokenizer.pad_token_id
    return Batch(
        ids=torch.tensor([row + [pad] * (width - len(row)) for row in rows]),
        learned=torch.tensor(
            [reply_mask(row, assistant, end) + [False] * (width - len(row)) for row in rows], dtype=torch.bool
        ),
    )
