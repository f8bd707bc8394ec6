"""Running the model for a `GateTable`: every calibration prompt at every strength level, in batches.

Replies are greedy. The teacher-forced passes that measure change start steering at the last prompt token, as
generation does. Most replies are the same at one strength as at the strength below: so that one is taken as a draft,
and a teacher-forced pass tells whether greedy decoding would have chosen each of its tokens. Only the replies of
which it would not are written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Bank, BankEntry, Scope
from breakers.plan import STRENGTH_STEPS
from breakers.runtime import TorchRuntime
from breakers.scoring import HarmScorer, ScoredReply
from breakers.training.batches import Sample, collate
from breakers.training.forward import Forwards, plain_logits
from breakers.training.generation import RepliesConfig, greedy_replies
from classifiers.errors import GateTableError

Messages = Sequence[Mapping[str, str]]
Progress = Callable[[int, int], None]
Reply = tuple[int, ...]
"""Token ids, without an end token."""

_KEPT_BYTES = 2**30
"""Of what the untouched model computes on a batch's prompts."""


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

    behaviour: str
    """Which of the scorer's behaviours is the harm."""
    levels: int = STRENGTH_STEPS + 1
    max_new_tokens: int = 48
    batch_size: int = 64
    eos_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulation:
    """What the model did."""

    harm: Float64[np.ndarray, "prompt level"]
    change: Float64[np.ndarray, "prompt level"]
    replies: tuple[str, ...]
    """Of the unmodified model, one a prompt."""


@torch.no_grad()
def tabulate(
    model: PreTrainedModel,
    sites: ModelSites,
    entry: BankEntry,
    codec: ChatCodec,
    scorer: HarmScorer,
    prompts: Sequence[Messages],
    settings: TabulationSettings,
    progress: Progress | None = None,
) -> Tabulation:
    """Harm and change of every prompt at strengths 0, 1/16, ...

    Args:
        model: the base model.
        sites: of that model.
        entry: the bundle's interventions.
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
    encoded = [tuple(codec.encode_chat(p)) for p in prompts]
    # Prompts of similar length share a batch: less padding.
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    texts: dict[int, str] = {}
    for rows in _batches(order, settings.batch_size):
        batch = _Batch(model, sites, entry, [encoded[i] for i in rows], settings)

        def judged(replies: Sequence[Reply], rows: Sequence[int] = rows) -> list[ScoredReply]:
            written = zip(rows, replies, strict=True)
            return [ScoredReply(messages=prompts[i], reply=codec.decode(reply)) for i, reply in written]

        untouched = judged(batch.base)
        texts |= {i: scored.reply for i, scored in zip(rows, untouched, strict=True)}
        harm[rows, 0] = [score[settings.behaviour] for score in scorer.score(untouched)]
        harmless = harm[rows, 0] < 0.5
        for level in range(1, settings.levels):
            change[rows, level] = batch.raise_to(level / STRENGTH_STEPS, harmless)
            harm[rows, level] = [score[settings.behaviour] for score in scorer.score(judged(batch.replies))]
        if progress is not None:
            progress(len(texts), len(prompts))
    return Tabulation(harm=harm, change=change, replies=tuple(texts[i] for i in range(len(prompts))))


class _Batch:
    """Some prompts while the strength rises: the replies at one strength are drafts of those at the next."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        entry: BankEntry,
        prompts: Sequence[tuple[int, ...]],
        settings: TabulationSettings,
    ) -> None:
        """Write the unmodified model's replies."""
        self._model, self._sites, self._entry, self._prompts = model, sites, entry, prompts
        self._limit, self._ends = settings.max_new_tokens, settings.eos_token_ids
        self._config = RepliesConfig(
            max_new_tokens=self._limit, batch_size=len(prompts), end_token_ids=settings.eos_token_ids
        )
        self.base = greedy_replies(model, sites, prompts, self._config)
        self.replies = list(self.base)
        """At the strength that was last run."""
        samples = [self._sample(row, self.base[row]) for row in range(len(prompts))]
        self._forwards = Forwards(model, sites, samples, _KEPT_BYTES)
        self._base_log_probabilities = [scores.log_softmax(-1) for scores in self._logits(samples, 0.0)]

    def raise_to(self, strength: float, harmless: np.ndarray) -> Float64[np.ndarray, " row"]:
        """Bring `replies` to a strength.

        Args:
            strength: at least that of the last call, for drafts that are worth their pass.
            harmless: rows whose change is measured.

        Returns:
            The mean KL over each unmodified reply, nats a token; 0 in rows that are not measured.
        """
        drafted = [row for row, reply in enumerate(self.replies) if reply != self.base[row]]
        on_base = [row for row in range(len(self._prompts)) if harmless[row] or self.replies[row] == self.base[row]]
        runs = [(row, self.base[row]) for row in on_base] + [(row, self.replies[row]) for row in drafted]
        logits = self._logits([self._sample(row, reply) for row, reply in runs], strength)
        change = np.zeros(len(self._prompts))
        others = []
        for at, ((row, reply), scores) in enumerate(zip(runs, logits, strict=True)):
            if at < len(on_base) and harmless[row]:
                change[row] = mean_kl(self._base_log_probabilities[row], scores.log_softmax(-1))
            if reply == self.replies[row] and not self._is_greedy(reply, scores):
                others.append(row)
        asked = [self._prompts[row] for row in others]
        written = greedy_replies(self._model, self._sites, asked, self._config, self._entry, strength)
        for row, reply in zip(others, written, strict=True):
            self.replies[row] = reply
        return change

    def _sample(self, row: int, reply: Reply) -> Sample:
        """With an end token where the reply was not cut. Which one does not matter: no pass reads it."""
        ended = reply if len(reply) == self._limit else (*reply, self._ends[0])
        return Sample(prompt=self._prompts[row], reply=ended)

    def _logits(self, samples: Sequence[Sample], strength: float) -> Sequence[Float[Tensor, "token vocab"]]:
        """Of each sample, at its reply tokens."""
        if self._entry.scope is Scope.GENERATION:
            logits = self._forwards.steered(samples, [self._entry], torch.full((len(samples), 1), strength))
        else:
            bank = Bank(self._sites, [self._entry], device=self._model.device, dtype=self._model.dtype)
            batch = collate(samples, self._forwards.pad)
            # Padding comes after the reply, where nothing looks at it.
            everywhere = bank.token_strengths(torch.full((batch.ids.numel(), 1), strength))
            runtime = TorchRuntime(self._model, bank)
            with runtime.attached(), runtime.forward_strengths(everywhere):
                logits = plain_logits(self._model, batch).float()
        parts: Sequence[Tensor] = torch.split(logits, [len(sample.reply) for sample in samples])
        return parts

    def _is_greedy(self, reply: Reply, scores: Float[Tensor, "token vocab"]) -> bool:
        """Whether greedy decoding writes this reply."""
        chosen = scores.argmax(-1).tolist()
        return tuple(chosen[: len(reply)]) == reply and all(token in self._ends for token in chosen[len(reply) :])


def mean_kl(base: Float[Tensor, "token vocab"], steered: Float[Tensor, "token vocab"]) -> float:
    """Mean over tokens of KL(base || steered) of log-probabilities, in nats, at least 0."""
    return max(0.0, float((base.exp() * (base - steered)).sum(-1).mean()))


def _batches(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])
