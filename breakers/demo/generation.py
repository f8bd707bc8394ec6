"""Replies of a model to many conversations at once: left-padded batches of similar length, with a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from breakers.demo.tokenizer import render

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Conversation = Sequence[dict[str, str]]


@torch.inference_mode()
def generate_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    conversations: Sequence[Conversation],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    max_new_tokens: int = 56,
    batch_size: int = 128,
) -> list[str]:
    """Generate one reply to each conversation.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with the demo's chat template.
        conversations: messages up to the user's last turn.
        temperature: 0 is greedy; otherwise plain sampling from the whole distribution.
        seed: of the sampling.
        max_new_tokens: longest reply, in tokens.
        batch_size: conversations per batch.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = tokenizer([render(c) for c in conversations], add_special_tokens=False)["input_ids"]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    replies = [""] * len(rows)
    for start in range(0, len(order), batch_size):
        picked = order[start : start + batch_size]
        ids = _generate([rows[i] for i in picked], model, tokenizer, temperature, generator, max_new_tokens)
        for i, text in zip(picked, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            replies[i] = text
    return replies


def _generate(
    rows: list[list[int]],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    temperature: float,
    generator: torch.Generator,
    max_new_tokens: int,
) -> Int[Tensor, "batch new"]:
    """Return the new tokens of each row; everything from the end token on is the end token."""
    width = max(map(len, rows))
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    done = torch.zeros(len(rows), dtype=torch.bool)
    cache, new = None, []
    for _ in range(max_new_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        cache = out.past_key_values
        token = torch.where(done, end, _choose(out.logits[:, -1].float(), temperature, generator))
        new.append(token)
        done |= token == end
        if bool(done.all()):
            break
        ids = token[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
    return torch.stack(new, 1)


def _choose(
    logits: Float[Tensor, "batch vocab"], temperature: float, generator: torch.Generator
) -> Int[Tensor, " batch"]:
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
