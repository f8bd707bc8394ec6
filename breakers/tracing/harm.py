"""H of the text that the model generates while patches hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import TracingError
from breakers.scoring import HarmScorer, ScoredReply
from breakers.tracing.cost import Cost
from breakers.tracing.generation import GenerationConfig, PatchedGenerator
from breakers.tracing.patches import Patch, PatchConfig, TraceCase
from breakers.tracing.sources import OffsetMeans


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """How replies are scored."""

    scorer: HarmScorer
    behaviour: str
    """One of the scorer's."""
    decode: Callable[[Sequence[int]], str]
    """Token ids -> the text of a reply."""
    messages: Callable[[TraceCase], Sequence[Mapping[str, str]]]
    """The conversation that a case's reply answers."""

    def __post_init__(self) -> None:
        if self.behaviour not in self.scorer.behaviours:
            known = ", ".join(self.scorer.behaviours)
            raise TracingError(f"scorer {self.scorer.name} does not score {self.behaviour!r}; it scores {known}")


class HarmMeasure:
    """A `PatchedMeasure`: H of the reply generated under the patch, in [0, 1]."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        config: PatchConfig,
        generation: GenerationConfig,
        judge: Judge,
        *,
        means: OffsetMeans | None = None,
    ) -> None:
        """Prepare to measure.

        Args:
            model: in eval mode; never changed.
            sites: from `resolve_sites`.
            config: what is patched in, and where.
            generation: how replies are generated.
            judge: how they are scored.
            means: from `neutral_means`, for source `mean`.

        Raises:
            TracingError: the model is in training mode, or source `mean` has no means.
        """
        self._generator = PatchedGenerator(model, sites, config, generation, means=means)
        self._judge = judge

    @property
    def cost(self) -> Cost:
        """Of the generation so far; scoring is not counted."""
        return self._generator.cost

    def texts(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> list[list[str]]:
        """The replies themselves, by patch and case; see `PatchedGenerator.replies` for what is raised."""
        return [[self._judge.decode(r) for r in replies] for replies in self._generator.replies(cases, patches)]

    def __call__(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> Float[Tensor, "patch case"]:
        """See `PatchedMeasure`; equal replies to a case are scored once."""
        texts = self.texts(cases, patches)
        wanted = sorted({(number, text) for replies in texts for number, text in enumerate(replies)})
        conversations = [self._judge.messages(case) for case in cases]
        scored = self._judge.scorer.score(
            [ScoredReply(messages=conversations[number], reply=text) for number, text in wanted]
        )
        harm = {key: scores[self._judge.behaviour] for key, scores in zip(wanted, scored, strict=True)}
        return torch.tensor([[harm[number, text] for number, text in enumerate(replies)] for replies in texts])
