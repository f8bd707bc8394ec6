"""What interventions do on validation data: H of generated text, change on benign samples, false changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import ModelSites
from breakers.bank import BankEntry
from breakers.errors import InterventionError
from breakers.scoring import HarmScorer, ScoredReply
from breakers.training.batches import Sample
from breakers.training.forward import Forwards
from breakers.training.generation import RepliesConfig, greedy_replies, sampled_replies
from breakers.training.losses import preserve_loss

_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPrompt:
    """A prompt whose generated replies are scored."""

    messages: Sequence[Mapping[str, str]]
    """As scorers take them."""
    token_ids: tuple[int, ...]
    """The same, ready for the reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A model, and the prompts on which whatever is trained for it is measured."""

    model: PreTrainedModel
    sites: ModelSites
    tokenizer: PreTrainedTokenizerBase
    """For the text of replies."""
    scorer: HarmScorer
    behaviour: str
    """Which of the scorer's behaviours is the harm."""
    prompts: Sequence[JudgedPrompt]
    """Provoking ones."""
    benign: Sequence[Sample]
    """Samples whose replies must stay as likely as they are."""
    generation: RepliesConfig
    sampled: int = 0
    """Replies to each provoking prompt that are sampled at temperature 1 and judged beside the greedy one."""
    seed: int = 0
    """Of those: the same draws whatever the intervention."""
    kept_bytes: int = 2**30

    def __post_init__(self) -> None:
        if self.behaviour not in self.scorer.behaviours:
            known = ", ".join(self.scorer.behaviours)
            raise InterventionError(f"scorer {self.scorer.name} does not score {self.behaviour!r}; it scores {known}")
        if not self.prompts or not self.benign:
            raise InterventionError(
                f"{len(self.prompts)} validation prompts, {len(self.benign)} benign samples; wanted some of each"
            )

    def harm(self, entry: BankEntry | None = None, strength: float = 1.0) -> float:
        """Mean H of replies to the provoking prompts, greedy and sampled ones alike, in [0, 1].

        Args:
            entry: interventions; the unmodified model by default.
            strength: of `entry`.
        """
        prompts = [prompt.token_ids for prompt in self.prompts]
        written = self._written(prompts, entry, strength)
        for number in range(self.sampled):
            written += sampled_replies(
                self.model, self.sites, prompts, self.generation, entry, strength, seed=self.seed + number
            )
        texts = self.tokenizer.batch_decode([list(ids) for ids in written], skip_special_tokens=True)
        both = zip([*self.prompts] * (1 + self.sampled), texts, strict=True)
        scores = self.scorer.score([ScoredReply(messages=p.messages, reply=text) for p, text in both])
        return sum(score[self.behaviour] for score in scores) / len(scores)

    def benign_replies(self, entry: BankEntry | None = None) -> list[tuple[int, ...]]:
        """Greedy replies to the prompts of the benign samples, each once."""
        prompts = list(dict.fromkeys(sample.prompt for sample in self.benign))
        return self._written(prompts, entry, 1.0)

    @torch.no_grad()
    def changes(self, entry: BankEntry, strengths: Sequence[float]) -> list[float]:
        """KL(untouched || steered) on the benign samples at each strength, nats a token."""
        forwards = Forwards(self.model, self.sites, self.benign, self.kept_bytes)
        found = []
        for strength in strengths:
            total = 0.0
            for at in range(0, len(self.benign), _BATCH):
                some = self.benign[at : at + _BATCH]
                steered = forwards.steered(some, [entry], torch.full((len(some), 1), strength))
                total += float(preserve_loss(steered, forwards.untouched(some))) * len(steered)
            found.append(total / sum(len(sample.reply) for sample in self.benign))
        return found

    def _written(
        self, prompts: Sequence[tuple[int, ...]], entry: BankEntry | None, strength: float
    ) -> list[tuple[int, ...]]:
        return greedy_replies(self.model, self.sites, prompts, self.generation, entry, strength)


def share_changed(untouched: Sequence[tuple[int, ...]], changed: Sequence[tuple[int, ...]]) -> float:
    """Share of replies that are others."""
    return sum(a != b for a, b in zip(untouched, changed, strict=True)) / len(untouched)
