"""H of the text that the model generates without a circuit.

What an ablation puts in place is known beforehand, by offset from the last prompt token, as the means of source
`mean` are: generation under an ablation is generation under a patch of the circuit with these.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.refinement.ablations import Ablation
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import HarmMeasure, Judge
from breakers.tracing.patches import Patch, PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.sources import OffsetMeans


class AblatedHarm:
    """Generates replies under ablations, and has them scored."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        generation: GenerationConfig,
        judge: Judge,
        batch_tokens: int = 4096,
    ) -> None:
        """Nothing is generated yet.

        Args:
            model: in eval mode; never changed.
            sites: from `resolve_sites`.
            generation: how replies are generated.
            judge: how they are scored.
            batch_tokens: most tokens in a forward pass.
        """
        self._model, self._sites = model, sites
        self._generation, self._judge = generation, judge
        self._untouched: dict[tuple[TraceCase, ...], Float64[Tensor, " case"]] = {}
        self._config = PatchConfig(source=PatchSource.MEAN, positions=Positions.GENERATION, batch_tokens=batch_tokens)

    def __call__(self, ablation: Ablation | None, cases: Sequence[TraceCase]) -> Float64[Tensor, " case"]:
        """H of the reply to each case; of the untouched model without an ablation.

        Raises:
            TracingError: no cases, or sites that cannot be patched.
        """
        if ablation is None:
            return self._of_untouched(tuple(cases))
        harm = torch.zeros(len(cases), dtype=torch.float64)
        for numbers, means in ablation.by_offset(cases, self._generation.max_new_tokens):
            harm[numbers] = self._harm([cases[number] for number in numbers], ablation.patch, means)
        return harm

    def _of_untouched(self, cases: tuple[TraceCase, ...]) -> Float64[Tensor, " case"]:
        """Measured once: every kind of ablation is compared with it."""
        if cases not in self._untouched:
            nothing = OffsetMeans(before=0, counts=torch.zeros(1, dtype=torch.long), values={})
            self._untouched[cases] = self._harm(cases, (), nothing)
        return self._untouched[cases]

    def _harm(self, cases: Sequence[TraceCase], patch: Patch, means: OffsetMeans) -> Float64[Tensor, " case"]:
        measure = HarmMeasure(self._model, self._sites, self._config, self._generation, self._judge, means=means)
        return measure(cases, [patch])[0].double()
