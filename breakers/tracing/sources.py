"""Replacement activations: what is patched in, and at which tokens, for each source.

Rows are padded on the right. The replacement of a token stands at that token's position, so that patching is
`where(patched, replacement, z)` whatever the source.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import NonFiniteError, TracingError
from breakers.sites import HookPoint
from breakers.tracing.activations import Activations, capture, check_finite, on_device_of
from breakers.tracing.patches import PatchConfig, PatchSource, Positions, TraceCase
from breakers.training.batches import Batch, Sample, collate

PAD = 0
"""Any token will do: causal attention makes padding on the right harmless."""


class Side(StrEnum):
    """Which of a case's two completions a run is forced to read."""

    HARMFUL = "harmful"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What replaces the activations of a batch of runs."""

    values: Activations
    """Of each hook point, (batch, pos, width); of no meaning where nothing is patched."""
    patched: Bool[Tensor, "batch pos"]
    """Positions to be patched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetMeans:
    """Mean activations of neutral runs by position class: the offset from the last prompt token."""

    before: int
    """Offsets start at minus this."""
    counts: Int[Tensor, " offset"]
    """Runs that have a token at that offset."""
    values: dict[HookPoint, Float[Tensor, "offset width"]]

    def index(self, starts: Int[Tensor, " batch"], length: int, first: int = 0) -> Int[Tensor, "batch pos"]:
        """Where in `values` the positions of rows are, from `first` on; clamped, see `known`."""
        places = torch.arange(first, length) - starts[:, None] + self.before
        return places.clamp(0, len(self.counts) - 1)

    def known(self, starts: Int[Tensor, " batch"], length: int) -> Bool[Tensor, "batch pos"]:
        """Positions whose class some neutral run has."""
        places = torch.arange(length) - starts[:, None] + self.before
        inside = (places >= 0) & (places < len(self.counts))
        return inside & (self.counts[self.index(starts, length)] > 0)


class Sources:
    """Makes replacements for one model and configuration."""

    def __init__(
        self, model: PreTrainedModel, sites: ModelSites, config: PatchConfig, means: OffsetMeans | None = None
    ) -> None:
        """`means` (see `neutral_means`) are for source `mean`, which cannot do without.

        Raises:
            TracingError: source `mean` without means.
        """
        if config.source is PatchSource.MEAN and means is None:
            raise TracingError("source `mean` needs the mean activations of neutral runs; there are none")
        self._model = model
        self._sites = sites
        self.config = config
        self._means = means

    def patched(self, cases: Sequence[TraceCase], side: Side) -> Bool[Tensor, "batch pos"]:
        """Positions that are patched in the runs on one completion; positions that cannot differ are left out.

        Contrast: where the two prompts differ for the first time, or generation starts, up to the run's end.
        Completion: in the harmful run, from the first token that differs to the end of the neutral run; the neutral
        run is its own source and stays as it is.
        Mean: where some neutral run has a token at that offset.

        Raises:
            TracingError: a case without a contrast prompt, or without a token.
        """
        if not cases:
            raise TracingError("there are no cases; wanted at least one")
        batch = collate(runs(cases, side), PAD)
        here = real_positions(runs(cases, side))
        if self.config.positions is Positions.GENERATION:
            here &= torch.arange(here.shape[1]) >= batch.starts[:, None]
        if self.config.source is PatchSource.MEAN:
            return here & self._known(batch)
        bounds = torch.tensor([self._bounds(number, case, side) for number, case in enumerate(cases)])
        places = torch.arange(here.shape[1])
        return here & (places >= bounds[:, :1]) & (places < bounds[:, 1:])

    def replacement(
        self, cases: Sequence[TraceCase], side: Side, points: Collection[HookPoint], *, first: int = 0
    ) -> Replacement:
        """Replacement activations of the runs on one completion, from position `first` on.

        Raises:
            TracingError: see `patched`; or a hook point that cannot be patched.
            NonFiniteError: the source run's activations are not finite.
        """
        patched = self.patched(cases, side)
        if not bool(patched.any()):
            return Replacement(values={}, patched=patched[:, first:])
        if self.config.source is PatchSource.MEAN:
            return Replacement(values=self._mean_values(cases, side, points, first), patched=patched[:, first:])
        samples = self.source_runs(cases, side)
        ids = collate(samples, PAD).ids
        seen = capture(self._model, self._sites, ids, points, first=first)
        check_finite(seen, real_positions(samples)[:, first:])
        width = patched.shape[1] - first
        return Replacement(values={p: _fitted(z, width) for p, z in seen.items()}, patched=patched[:, first:])

    def source_runs(self, cases: Sequence[TraceCase], side: Side) -> list[Sample]:
        """The runs that replacements are taken from; sources `contrast` and `completion` only."""
        if self.config.source is PatchSource.COMPLETION:
            return [case.pair.neutral for case in cases]
        return [
            Sample(prompt=_contrast(number, case), reply=run.reply)
            for number, (case, run) in enumerate(zip(cases, runs(cases, side), strict=True))
        ]

    def _bounds(self, number: int, case: TraceCase, side: Side) -> tuple[int, int]:
        """First position that may differ from its source, and the source's end."""
        if self.config.source is PatchSource.CONTRAST:
            contrast = _contrast(number, case)
            differing = (at for at, (a, b) in enumerate(zip(case.prompt, contrast, strict=True)) if a != b)
            # The same prompt twice: nothing can differ.
            return next(differing, len(case.pair)), len(case.pair)
        if side is Side.NEUTRAL:
            return 0, 0
        return len(case.prompt) + case.pair.parting, len(case.pair.neutral)

    def _known(self, batch: Batch) -> Bool[Tensor, "batch pos"]:
        return self._offset_means.known(batch.starts, batch.ids.shape[1])

    def _mean_values(
        self, cases: Sequence[TraceCase], side: Side, points: Collection[HookPoint], first: int
    ) -> Activations:
        means = self._offset_means
        missing = [str(point) for point in points if point not in means.values]
        if missing:
            raise TracingError(f"there are no neutral means of {', '.join(missing)}")
        batch = collate(runs(cases, side), PAD)
        index = means.index(batch.starts, batch.ids.shape[1], first)
        return {point: means.values[point][index] for point in points}

    @property
    def _offset_means(self) -> OffsetMeans:
        if self._means is None:
            raise TracingError("there are no neutral means; wanted those of source `mean`")
        return self._means


@torch.no_grad()
def neutral_means(
    model: PreTrainedModel,
    sites: ModelSites,
    samples: Sequence[Sample],
    points: Collection[HookPoint],
    *,
    batch: int = 32,
) -> OffsetMeans:
    """Mean activations over neutral runs, one for each offset from the last prompt token.

    Args:
        model: the model that `sites` were resolved for.
        sites: from `resolve_sites`.
        samples: prompts with their neutral completions.
        points: where.
        batch: runs in a forward pass.

    Raises:
        TracingError: no samples, or a hook point that cannot be patched.
        NonFiniteError: activations that are not finite.
    """
    if not samples:
        raise TracingError("there are no neutral runs to take a mean of; wanted at least one")
    with on_device_of(model):
        return _offset_means(model, sites, samples, points, batch)


def _offset_means(
    model: PreTrainedModel, sites: ModelSites, samples: Sequence[Sample], points: Collection[HookPoint], batch: int
) -> OffsetMeans:
    before = max(len(sample.prompt) - 1 for sample in samples)
    offsets = before + 1 + max(len(sample.reply) for sample in samples)
    counts = torch.zeros(offsets, dtype=torch.long)
    sums = {p: torch.zeros(offsets, sites.width(p), dtype=torch.float64) for p in points}
    edges = [*range(0, len(samples), batch), len(samples)]
    for low, high in pairwise(edges):
        rows = samples[low:high]
        collated, real = collate(rows, PAD), real_positions(rows)
        seen = capture(model, sites, collated.ids, points)
        try:
            check_finite(seen, real)
        except NonFiniteError as error:
            raise NonFiniteError(error.where, low + error.case) from error
        offset = (torch.arange(real.shape[1]) - collated.starts[:, None] + before)[real]
        counts.index_add_(0, offset, torch.ones_like(offset))
        for point, z in seen.items():
            sums[point].index_add_(0, offset, z[real].double())
    values = {p: (total / counts.clamp(min=1)[:, None]).to(model.dtype) for p, total in sums.items()}
    return OffsetMeans(before=before, counts=counts, values=values)


def runs(cases: Sequence[TraceCase], side: Side) -> list[Sample]:
    """The runs on one completion of each case."""
    return [case.pair.harmful if side is Side.HARMFUL else case.pair.neutral for case in cases]


def real_positions(samples: Sequence[Sample]) -> Bool[Tensor, "batch pos"]:
    """Positions that hold a token of the row, not padding."""
    lengths = torch.tensor([len(sample) for sample in samples])
    return torch.arange(int(lengths.max())) < lengths[:, None]


def _contrast(number: int, case: TraceCase) -> tuple[int, ...]:
    if case.contrast is None:
        raise TracingError(f"case {number} has no contrast prompt; source `contrast` wants one in every case")
    return case.contrast


def _fitted(z: Float[Tensor, "batch pos width"], length: int) -> Float[Tensor, "batch length width"]:
    """Cut or padded with zeros on the right; nothing is patched where zeros are put."""
    if z.shape[1] >= length:
        return z[:, :length]
    return torch.nn.functional.pad(z, (0, 0, 0, length - z.shape[1]))
