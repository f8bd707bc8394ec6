"""What the untouched model computes on prompts: keys and values up to the token before generation_start.

Interventions in training have scope `generation`, so these are constants: they are computed once, without
gradients, and a step runs the replies alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from breakers.training.batches import Sample, collate
from breakers.training.heads import head_at
from breakers.training.kept import Kept
from breakers.training.positions import position_arguments

States: TypeAlias = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of each layer, both (head, pos, d_head), of one prompt without its last token."""

_ATTENTION = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Of logits, in standard deviations; rounding alone is far below. 0.1 for shorter types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """Last prompt tokens and replies (without their last tokens, which nothing is predicted from)."""

    ids: Int[Tensor, "batch new"]
    """Padded on the right."""
    targets: Bool[Tensor, "batch new"]
    """Where there is no padding: each of these tokens predicts a reply token."""
    before: Int[Tensor, " batch"]
    """Tokens of each row in `states`."""
    states: list[States]

    def token_strengths(self, rows: Float[Tensor, "batch entry"]) -> Float[Tensor, "token entry"]:
        """Strengths by row -> by token, flattened; 0 on padding."""
        return (self.targets[:, :, None] * rows[:, None, :]).flatten(0, 1)


class PromptStates:
    """The states of prompts on one model, and forwards of replies that begin with them."""

    def __init__(self, model: PreTrainedModel, prompts: Iterable[tuple[int, ...]], budget: int, pad: int) -> None:
        """Nothing is computed yet.

        Args:
            model: see `can_reuse_prompts`.
            prompts: those that will come often.
            budget: bytes of states to keep.
            pad: token id for padding.
        """
        self._model, self._pad = model, pad
        (probe,) = self._compute([(pad, pad)])
        token_bytes = sum(k.nbytes + v.nbytes for k, v in probe)
        self._kept = Kept(
            prompts, self._compute, length=lambda prompt: len(prompt) - 1, token_bytes=token_bytes, budget=budget
        )

    def replies(self, samples: Sequence[Sample]) -> Replies:
        """Inputs that continue the prompts' states; new states are computed here, by unsteered forwards."""
        states = self._kept.get([sample.prompt for sample in samples])
        rows = [(sample.prompt[-1], *sample.reply[:-1]) for sample in samples]
        ids = torch.full((len(rows), max(map(len, rows))), self._pad)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = torch.tensor(row)
        before = torch.tensor([len(sample.prompt) - 1 for sample in samples])
        lengths = torch.tensor([len(row) for row in rows])
        return Replies(ids=ids, targets=torch.arange(ids.shape[1]) < lengths[:, None], before=before, states=states)

    def logits(self, replies: Replies) -> Float[Tensor, "target vocab"]:
        """Logits at the reply tokens, row after row."""
        device, longest = self._model.device, int(replies.before.max())
        mask = torch.ones(len(replies.ids), longest + replies.ids.shape[1], dtype=torch.long)
        mask[:, :longest] = torch.arange(longest) >= longest - replies.before[:, None]
        positions = replies.before[:, None] + torch.arange(replies.ids.shape[1])
        with head_at(self._model, replies.targets.to(device)):
            out: Tensor = self._model(
                input_ids=replies.ids.to(device),
                attention_mask=mask.to(device),
                past_key_values=_joined(replies.states, longest),
                use_cache=True,
                **position_arguments(self._model, positions),
            ).logits
        return out

    @torch.no_grad()
    def _compute(self, prompts: Sequence[tuple[int, ...]]) -> list[States]:
        lengths = [len(prompt) - 1 for prompt in prompts]
        # A prompt of one token has no states, but the forward needs a column.
        ids = torch.full((len(prompts), max(1, *lengths)), self._pad)
        for row, prompt in enumerate(prompts):
            ids[row, : lengths[row]] = torch.tensor(prompt[:-1])
        cache = DynamicCache()
        nowhere = torch.zeros(ids.shape, dtype=torch.bool, device=self._model.device)
        with head_at(self._model, nowhere):
            self._model(input_ids=ids.to(self._model.device), past_key_values=cache, use_cache=True)
        return [
            tuple((layer.keys[row, :, :n].clone(), layer.values[row, :, :n].clone()) for layer in cache.layers)
            for row, n in enumerate(lengths)
        ]


def _joined(states: Sequence[States], width: int) -> DynamicCache:
    """A cache of a batch, padded on the left to `width`."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(states[0]):
        joined = []
        for which, like in enumerate((keys, values)):
            whole = like.new_zeros(len(states), like.shape[0], width, like.shape[2])
            for row, of in enumerate(states):
                part = of[layer][which]
                whole[row, :, width - part.shape[1] :] = part
            joined.append(whole)
        cache.update(joined[0], joined[1], layer)
    return cache


@torch.no_grad()
def can_reuse_prompts(model: PreTrainedModel, samples: Sequence[Sample], pad: int) -> bool:
    """Whether replies that begin with kept states get the logits of whole forwards, tried on a few samples.

    False also for models whose layers hold something else than keys and values, which is not tried.
    """
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ["full_attention"]
    if not set(kinds) <= _ATTENTION:
        return False
    cache = DynamicCache()
    model(input_ids=torch.tensor([[pad]], device=model.device), past_key_values=cache, use_cache=True)
    plain = [type(layer) is DynamicLayer and layer.is_initialized and layer.keys.ndim == 4 for layer in cache.layers]
    if not all(plain) or len(plain) != text.num_hidden_layers:
        return False
    batch = collate(samples, pad).to(model.device)
    with head_at(model, batch.targets):
        whole = model(input_ids=batch.ids, use_cache=False).logits.float()
    prompts = PromptStates(model, [], 0, pad)
    found = prompts.logits(prompts.replies(samples)).float()
    limit = _TOLERANCE.get(model.dtype, 0.1) * float(whole.std())
    return float((found - whole).abs().max()) <= limit
