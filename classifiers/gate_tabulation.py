"""Running the model for a `GateTable`: every calibration prompt at every strength level, in batches of plain PyTorch.

Replies are greedy. The teacher-forced pass that measures change starts steering at the last prompt token, as
generation does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from transformers import PreTrainedModel

from breakers.plan import STRENGTH_STEPS
from breakers.runtime import TorchRuntime
from breakers.scoring import HarmScorer, ScoredReply
from classifiers.errors import GateTableError

Messages = Sequence[Mapping[str, str]]
Progress = Callable[[int, int], None]


@runtime_checkable
class ChatCodec(Protocol):
    """Conversations to token ids, and replies back to text."""

    def encode_chat(self, messages: Messages) -> list[int]:
        """Token ids of a conversation, ready for the reply."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a reply, without special tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TabulationSettings:
    """How to run the model."""

    bundle: str
    """Name in the runtime's bank."""
    behaviour: str
    """Which of the scorer's behaviours is the harm."""
    levels: int = STRENGTH_STEPS + 1
    max_new_tokens: int = 48
    batch_size: int = 64
    eos_token_ids: tuple[int, ...]
    pad_token_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulation:
    """What the model did."""

    harm: Float64[np.ndarray, "prompt level"]
    change: Float64[np.ndarray, "prompt level"]
    replies: tuple[str, ...]
    """Of the unmodified model, one a prompt."""


def tabulate(
    model: PreTrainedModel,
    runtime: TorchRuntime,
    codec: ChatCodec,
    scorer: HarmScorer,
    prompts: Sequence[Messages],
    settings: TabulationSettings,
    progress: Progress | None = None,
) -> Tabulation:
    """Harm and change of every prompt at strengths 0, 1/16, ...

    Args:
        model: the model that `runtime` acts on.
        runtime: holds the bundle; not attached.
        codec: of the model.
        scorer: H; must return `settings.behaviour`.
        prompts: conversations that end in a user turn.
        settings: how to run.
        progress: called with (prompts done, prompts) after each batch.

    Raises:
        GateTableError: there are no prompts, or the scorer does not know the behaviour.
    """
    if not prompts or settings.behaviour not in scorer.behaviours:
        known = ", ".join(scorer.behaviours)
        raise GateTableError(f"{len(prompts)} prompts for {settings.behaviour!r}; {scorer.name} scores {known}")
    harm = np.zeros((len(prompts), settings.levels))
    change = np.zeros_like(harm)
    replies: list[str] = []
    # Prompts of similar length share a batch: less padding.
    encoded = [codec.encode_chat(p) for p in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    texts: dict[int, str] = {}
    for rows in _batches(order, settings.batch_size):
        batch = _Batch.of([encoded[i] for i in rows], settings.pad_token_id)
        base = _generate(model, runtime, batch, 0.0, settings)
        for level in range(settings.levels):
            strength = level / STRENGTH_STEPS
            tokens = base if level == 0 else _generate(model, runtime, batch, strength, settings)
            written = [codec.decode(ids) for ids in trimmed(tokens, settings.eos_token_ids)]
            if level == 0:
                texts |= dict(zip(rows, written, strict=True))
            scored = scorer.score(
                [ScoredReply(messages=prompts[i], reply=text) for i, text in zip(rows, written, strict=True)]
            )
            harm[rows, level] = [s[settings.behaviour] for s in scored]
        change[rows] = _changes(model, runtime, batch, base, settings)
        if progress is not None:
            progress(len(texts), len(prompts))
    replies = [texts[i] for i in range(len(prompts))]
    change[harm[:, 0] >= 0.5] = 0.0
    return Tabulation(harm=harm, change=change, replies=tuple(replies))


@dataclass(frozen=True, slots=True)
class _Batch:
    ids: Int[Tensor, "batch pos"]
    attention: Int[Tensor, "batch pos"]

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], pad: int) -> _Batch:
        """Left-padded prompts."""
        width = max(len(p) for p in prompts)
        ids = torch.full((len(prompts), width), pad, dtype=torch.long)
        attention = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
            attention[row, width - len(prompt) :] = 1
        return cls(ids, attention)


def trimmed(tokens: Int[Tensor, "batch pos"], eos: Sequence[int]) -> list[list[int]]:
    """The tokens of each row before the first end token."""
    rows = []
    for row in tokens.tolist():
        end = next((i for i, token in enumerate(row) if token in eos), len(row))
        rows.append(row[:end])
    return rows


@torch.no_grad()
def _generate(
    model: PreTrainedModel, runtime: TorchRuntime, batch: _Batch, strength: float, settings: TabulationSettings
) -> Int[Tensor, "batch pos"]:
    with runtime.steering({settings.bundle: strength}):
        tokens: Tensor = model.generate(
            input_ids=batch.ids.to(model.device),
            attention_mask=batch.attention.to(model.device),
            max_new_tokens=settings.max_new_tokens,
            do_sample=False,
            eos_token_id=list(settings.eos_token_ids),
            pad_token_id=settings.pad_token_id,
        )
    return tokens[:, batch.ids.shape[1] :].cpu()


def _changes(
    model: PreTrainedModel,
    runtime: TorchRuntime,
    batch: _Batch,
    reply: Int[Tensor, "batch reply"],
    settings: TabulationSettings,
) -> Float64[np.ndarray, "batch level"]:
    mask = reply_mask(reply, settings.eos_token_ids)
    base = _log_probabilities(model, runtime, batch, reply, mask, 0.0, settings)
    columns = [np.zeros(len(reply))]
    for level in range(1, settings.levels):
        steered = _log_probabilities(model, runtime, batch, reply, mask, level / STRENGTH_STEPS, settings)
        columns.append(mean_kl(base, steered, mask).double().cpu().numpy())
    return np.stack(columns, axis=1)


def reply_mask(reply: Int[Tensor, "batch reply"], eos: Sequence[int]) -> Bool[Tensor, "batch reply"]:
    """Tokens of the reply up to and including the first end token; what follows is padding."""
    ended = torch.isin(reply, torch.tensor(list(eos)))
    return ended.long().cumsum(1) - ended.long() == 0


def mean_kl(
    base: Float[Tensor, "batch reply vocab"],
    steered: Float[Tensor, "batch reply vocab"],
    mask: Bool[Tensor, "batch reply"],
) -> Float[Tensor, " batch"]:
    """Mean over the masked tokens of KL(base || steered) of log-probabilities, in nats, at least 0."""
    kl = (base.exp() * (base - steered)).sum(-1).masked_fill(~mask.to(base.device), 0.0)
    return (kl.sum(1) / mask.sum(1).clamp_min(1).to(base.device)).clamp_min(0.0)


@torch.no_grad()
def _log_probabilities(
    model: PreTrainedModel,
    runtime: TorchRuntime,
    batch: _Batch,
    reply: Int[Tensor, "batch reply"],
    mask: Bool[Tensor, "batch reply"],
    strength: float,
    settings: TabulationSettings,
) -> Float[Tensor, "batch reply vocab"]:
    """Of each reply token's distribution, given what precedes it."""
    width = batch.ids.shape[1]
    ids = torch.cat([batch.ids, reply], 1).to(model.device)
    attention = torch.cat([batch.attention, mask.long()], 1).to(model.device)
    positions = (attention.cumsum(1) - 1).clamp_min(0)
    with runtime.steering({settings.bundle: strength}, generation_start=width - 1):
        logits = model(input_ids=ids, attention_mask=attention, position_ids=positions, use_cache=False).logits
    predicted: Tensor = logits[:, width - 1 : -1].float().log_softmax(-1)
    return predicted


def _batches(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])
