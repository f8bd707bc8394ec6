"""Token sequences for training: a prompt and a reply, padded on the right, with the reply's positions marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from breakers.errors import InterventionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One prompt and one reply, as token ids; the reply ends with its end token."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.reply:
            found = f"{len(self.prompt)} prompt and {len(self.reply)} reply tokens"
            raise InterventionError(f"a sample has {found}; wanted at least one of each")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A harmful and a neutral reply to the same prompt."""

    harmful: Sample
    neutral: Sample

    def __post_init__(self) -> None:
        if self.harmful.prompt != self.neutral.prompt:
            raise InterventionError("the two replies of a pair have different prompts; wanted the same one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples as tensors."""

    ids: Int[Tensor, "batch pos"]
    targets: Bool[Tensor, "batch pos"]
    """Positions whose *next* token belongs to the reply: the last prompt token up to the reply's last but one."""
    starts: Int[Tensor, " batch"]
    """generation_start of each row: the last prompt token."""

    @property
    def strengths(self) -> Float[Tensor, "token 1"]:
        """Strength 1 from generation_start to the end of the reply, flattened; 0 on the prompt and the padding."""
        return self.targets.flatten()[:, None].float()


def collate(samples: Sequence[Sample], pad_token_id: int) -> Batch:
    """Pad on the right; causal attention makes the padding harmless without a mask."""
    longest = max(len(s.prompt) + len(s.reply) for s in samples)
    ids = torch.full((len(samples), longest), pad_token_id)
    targets = torch.zeros(len(samples), longest, dtype=torch.bool)
    for row, sample in enumerate(samples):
        whole = sample.prompt + sample.reply
        ids[row, : len(whole)] = torch.tensor(whole)
        targets[row, len(sample.prompt) - 1 : len(whole) - 1] = True
    return Batch(ids=ids, targets=targets, starts=torch.tensor([len(s.prompt) - 1 for s in samples]))
