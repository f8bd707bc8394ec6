"""What is patched in while a reply is generated, by offset from the last prompt token.

The three sources of `breakers.tracing.sources`, for runs whose tokens are not known beforehand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import TracingError
from breakers.sites import HookPoint
from breakers.tracing.activations import Activations, capture, check_finite
from breakers.tracing.patches import Patch, PatchConfig, PatchSource, TraceCase
from breakers.tracing.sources import PAD, OffsetMeans, real_positions
from breakers.training.batches import collate


class OffsetSource(ABC):
    """Replacements for a batch: copies of the cases, one for each patch."""

    def prompts(self, cases: Sequence[TraceCase]) -> list[tuple[int, ...]]:
        """Prompts to run: the cases' own, then those of their companions, where the source has any."""
        return [case.prompt for case in cases]

    @abstractmethod
    def patched(
        self, offsets: range, new: Sequence[Int[Tensor, " row"]], copies: int
    ) -> Bool[Tensor, "copy case offset"]:
        """Where to patch, given the tokens chosen so far; padding may be marked."""

    @abstractmethod
    def values(
        self, point: HookPoint, offsets: range, z: Float[Tensor, "row offset width"], copies: int
    ) -> Float[Tensor, "*copy case offset width"]:
        """What to patch in; `z` is of all rows of this pass, companions included."""


class _ContrastSource(OffsetSource):
    """The companion's activation at the same position."""

    def __init__(self, cases: Sequence[TraceCase]) -> None:
        self._cases = len(cases)
        self._contrasts = [_contrast(number, case) for number, case in enumerate(cases)]

    def prompts(self, cases: Sequence[TraceCase]) -> list[tuple[int, ...]]:
        return [*super().prompts(cases), *self._contrasts]

    def patched(
        self, offsets: range, new: Sequence[Int[Tensor, " row"]], copies: int
    ) -> Bool[Tensor, "copy case offset"]:
        return torch.ones(copies, self._cases, len(offsets), dtype=torch.bool)

    def values(
        self, point: HookPoint, offsets: range, z: Tensor, copies: int
    ) -> Float[Tensor, "*copy case offset width"]:
        return torch.unflatten(z[len(z) // 2 :], 0, (copies, self._cases))


class _CompletionSource(OffsetSource):
    """The neutral run's activation at the same offset, from the first token on that differs from it."""

    def __init__(self, cases: Sequence[TraceCase], seen: Activations) -> None:
        self._seen = seen
        self._starts = torch.tensor([len(case.prompt) - 1 for case in cases])
        self._replies = [case.pair.neutral.reply for case in cases]

    def patched(
        self, offsets: range, new: Sequence[Int[Tensor, " row"]], copies: int
    ) -> Bool[Tensor, "copy case offset"]:
        differs = torch.zeros(copies, len(self._replies), 1, dtype=torch.bool)
        if not new:
            # Up to the last prompt token both runs are the same.
            return differs.expand(-1, -1, len(offsets)).clone()
        for place, tokens in enumerate(new):
            wanted = torch.tensor([reply[place] if place < len(reply) else -1 for reply in self._replies])
            differs |= (tokens.view(copies, -1) != wanted)[..., None]
        lengths = torch.tensor([len(reply) for reply in self._replies])
        return differs & (torch.tensor(offsets) <= lengths[:, None])

    def values(
        self, point: HookPoint, offsets: range, z: Tensor, copies: int
    ) -> Float[Tensor, "*copy case offset width"]:
        seen = self._seen[point]
        places = (self._starts[:, None] + torch.tensor(offsets)).clamp(0, seen.shape[1] - 1)
        return seen[torch.arange(len(seen))[:, None], places]


class _MeanSource(OffsetSource):
    """The mean over neutral runs at the same offset."""

    def __init__(self, cases: Sequence[TraceCase], means: OffsetMeans) -> None:
        self._cases = len(cases)
        self._means = means

    def patched(
        self, offsets: range, new: Sequence[Int[Tensor, " row"]], copies: int
    ) -> Bool[Tensor, "copy case offset"]:
        places = self._places(offsets)
        inside = (places >= 0) & (places < len(self._means.counts))
        known = inside & (self._means.counts[places.clamp(0, len(self._means.counts) - 1)] > 0)
        return known.expand(copies, self._cases, -1).clone()

    def values(
        self, point: HookPoint, offsets: range, z: Tensor, copies: int
    ) -> Float[Tensor, "*copy case offset width"]:
        if point not in self._means.values:
            raise TracingError(f"there are no neutral means of {point}")
        places = self._places(offsets).clamp(0, len(self._means.counts) - 1)
        return self._means.values[point][places].expand(self._cases, -1, -1)

    def _places(self, offsets: range) -> Int[Tensor, " offset"]:
        return torch.tensor(offsets) + self._means.before


def offset_source(
    model: PreTrainedModel,
    sites: ModelSites,
    config: PatchConfig,
    means: OffsetMeans | None,
    cases: Sequence[TraceCase],
    patches: Sequence[Patch],
) -> OffsetSource:
    """The source of a batch; source `completion` runs the neutral completions here.

    Raises:
        TracingError: a case without a contrast prompt, or source `mean` without means.
        NonFiniteError: a neutral run's activations are not finite.
    """
    if config.source is PatchSource.CONTRAST:
        return _ContrastSource(cases)
    if config.source is PatchSource.MEAN:
        if means is None:
            raise TracingError("source `mean` needs the mean activations of neutral runs; there are none")
        return _MeanSource(cases, means)
    points = {site.hook_point for patch in patches for site in patch}
    return _CompletionSource(cases, _neutral_runs(model, sites, cases, points))


def _neutral_runs(
    model: PreTrainedModel, sites: ModelSites, cases: Sequence[TraceCase], points: Collection[HookPoint]
) -> Activations:
    if not points:
        return {}
    samples = [case.pair.neutral for case in cases]
    seen = capture(model, sites, collate(samples, PAD).ids, points)
    check_finite(seen, real_positions(samples))
    return seen


def _contrast(number: int, case: TraceCase) -> tuple[int, ...]:
    if case.contrast is None:
        raise TracingError(f"case {number} has no contrast prompt; source `contrast` wants one in every case")
    return case.contrast
