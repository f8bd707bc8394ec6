"""Token sequences for training: a prompt and a reply, padded on the right, with the reply's positions marked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from breakers.errors import InterventionError

_LENGTH_JITTER = 4
"""Tokens by which rows of a batch may differ beyond their order by length, so that batches vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One prompt and one reply, as token ids; the reply ends with its end token."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.reply:
            found = f"{len(self.prompt)} prompt and {len(self.reply)} reply tokens"
            raise InterventionError(f"a sample has {found}; wanted at least one of each")

    def __len__(self) -> int:
        """Tokens of prompt and reply."""
        return len(self.prompt) + len(self.reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A harmful and a neutral reply to the same prompt."""

    harmful: Sample
    neutral: Sample

    def __post_init__(self) -> None:
        if self.harmful.prompt != self.neutral.prompt:
            raise InterventionError("the two replies of a pair have different prompts; wanted the same one")
        if self.harmful.reply == self.neutral.reply:
            raise InterventionError("the two replies of a pair are the same; wanted a harmful and a neutral one")

    @property
    def parting(self) -> int:
        """The first reply token that differs; at least one does, because a reply ends with its end token."""
        both = enumerate(zip(self.harmful.reply, self.neutral.reply, strict=False))
        shorter = min(len(self.harmful.reply), len(self.neutral.reply))
        return next((place for place, (a, b) in both if a != b), shorter - 1)

    def __len__(self) -> int:
        """Tokens of prompt and the longer reply."""
        return max(len(self.harmful), len(self.neutral))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples as tensors."""

    ids: Int[Tensor, "batch pos"]
    targets: Bool[Tensor, "batch pos"]
    """Positions whose *next* token belongs to the reply: the last prompt token up to the reply's last but one."""
    starts: Int[Tensor, " batch"]
    """generation_start of each row: the last prompt token."""

    @property
    def labels(self) -> Int[Tensor, " target"]:
        """The reply tokens, row after row."""
        row, position = self.targets.nonzero(as_tuple=True)
        return self.ids[row, position + 1]

    @property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Reply tokens of each row."""
        return self.targets.sum(1)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(ids=self.ids.to(device), targets=self.targets.to(device), starts=self.starts.to(device))

    def token_strengths(self, rows: Float[Tensor, "batch entry"]) -> Float[Tensor, "token entry"]:
        """Strengths by row -> by token, flattened; 0 before generation_start and after the reply."""
        return (self.targets[:, :, None] * rows[:, None, :]).flatten(0, 1)


def collate(samples: Sequence[Sample], pad_token_id: int) -> Batch:
    """Pad on the right; causal attention makes the padding harmless without a mask."""
    longest = max(map(len, samples))
    ids = torch.full((len(samples), longest), pad_token_id)
    targets = torch.zeros(len(samples), longest, dtype=torch.bool)
    for row, sample in enumerate(samples):
        whole = sample.prompt + sample.reply
        ids[row, : len(whole)] = torch.tensor(whole)
        targets[row, len(sample.prompt) - 1 : len(whole) - 1] = True
    return Batch(ids=ids, targets=targets, starts=torch.tensor([len(s.prompt) - 1 for s in samples]))


class BatchOrder:
    """Batches of items of similar length, without end; each item comes once in a round.

    What is left of the round can be saved and put back: with the state of `draw`, the batches then go on as they
    would have.
    """

    def __init__(self, lengths: Sequence[int], size: int, draw: random.Random) -> None:
        """Start before the first round.

        Args:
            lengths: tokens of each item; at least one.
            size: items of a batch; the last of a round may be smaller.
            draw: source of the order; it may be shared.
        """
        self._lengths, self._size, self._draw = lengths, size, draw
        self.left: list[list[int]] = []
        """Batches still to come in this round, as indices of items."""

    def next(self) -> list[int]:
        """Indices of the next batch."""
        if not self.left:
            jittered = [length + self._draw.uniform(0, _LENGTH_JITTER) for length in self._lengths]
            order = sorted(range(len(jittered)), key=jittered.__getitem__)
            self.left = [order[at : at + self._size] for at in range(0, len(order), self._size)]
            self._draw.shuffle(self.left)
        return self.left.pop(0)
