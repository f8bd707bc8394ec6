"""The lead of the harmful completion over the neutral one, teacher-forced, while patches hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from breakers.architectures import ModelSites
from breakers.errors import NonFiniteError, TracingError
from breakers.sites import Boundary, HookPoint
from breakers.tracing.activations import check_finite, check_points, locate, on_device_of
from breakers.tracing.cost import Cost
from breakers.tracing.patches import Patch, PatchConfig, PatchSource, TraceCase
from breakers.tracing.replay import RecordedRuns, Rows, record
from breakers.tracing.sources import OffsetMeans, Replacement, Side, Sources, real_positions, runs
from breakers.training.batches import Sample

_RECORDED_SHARE = 4
"""Unmodified runs take this part of `batch_tokens`: then several patches of them fill a pass."""
_FILLED_SHARE = 32
"""Unmodified runs that take less than this part of `batch_tokens` go together however different they are."""
_WASTE = 1.15
"""Otherwise as long as padding after a run's end does not make a pass this much larger."""
_LOGITS = 2**26
"""Most logits of a pass; with large vocabularies these, not the tokens, are what memory goes to."""
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
"""Nats of a mean log-probability by which the shortcuts may differ from the plain way; 0.05 in half precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Some cases of a call, whose runs on one completion go together."""

    numbers: Sequence[int]
    """Of the cases in the call."""
    cases: Sequence[TraceCase]
    side: Side
    patched: bool

    @property
    def samples(self) -> list[Sample]:
        return runs(self.cases, self.side)


class LeadMeasure:
    """A `PatchedMeasure`: mean log-probability of the harmful completion less that of the neutral one, in nats.

    The patch holds in both scoring runs; where a run is its own source (the neutral one, with source `completion`)
    nothing changes in it. Past the end of a source's run nothing is patched. Patches of one site and of many go
    through the same code, many of them in one pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        config: PatchConfig,
        *,
        means: OffsetMeans | None = None,
        shortcuts: bool = True,
    ) -> None:
        """Prepare to measure.

        Args:
            model: in eval mode; never changed.
            sites: from `resolve_sites`.
            config: what is patched in, and where.
            means: from `neutral_means`, for source `mean`.
            shortcuts: compute only what a patch can change; otherwise whole runs, the plain way.

        Raises:
            TracingError: the model is in training mode, or source `mean` has no means.
        """
        if model.training:
            raise TracingError("the model is in training mode, where runs differ by chance; wanted model.eval()")
        self._model = model
        self._sites = sites
        self._sources = Sources(model, sites, config, means)
        self._verified: set[Boundary] = set()
        self.cost = Cost()
        self.fallback = "" if shortcuts else "asked for"
        """Why runs are whole ones; empty while the shortcuts are taken."""

    @torch.no_grad()
    def __call__(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> Float[Tensor, "patch case"]:
        """See `PatchedMeasure`."""
        if not cases or not patches:
            raise TracingError(
                f"there are {len(cases)} cases and {len(patches)} patches; wanted at least one of each"
            )
        self._check(patches)
        with on_device_of(self._model):
            found = self._means(cases, Side.HARMFUL, patches) - self._means(cases, Side.NEUTRAL, patches)
        return found.cpu()

    def _check(self, patches: Sequence[Patch]) -> None:
        sites = {site for patch in patches for site in patch}
        check_points({site.hook_point for site in sites})
        for site in sites:
            self._sites.channels(site)
        for point in sorted({site.hook_point for site in sites}):
            module = self._sites.module(point)
            if type(module) not in (nn.Linear, Conv1D):
                self._fall_back(f"the projection of {point} is a {type(module).__name__}, not Linear or Conv1D")

    def _means(self, cases: Sequence[TraceCase], side: Side, patches: Sequence[Patch]) -> Tensor:
        """Mean log-probability of each case's completion under each patch."""
        means = torch.zeros(len(patches), len(cases))
        for batch in self._batches(cases, side, patches):
            try:
                means[:, list(batch.numbers)] = self._measured(batch, patches)
            except NonFiniteError as error:
                raise NonFiniteError(error.where, batch.numbers[error.case]) from error
        return means

    def _batches(self, cases: Sequence[TraceCase], side: Side, patches: Sequence[Patch]) -> Iterator[_Batch]:
        """Runs of like beginnings and lengths; those that no patch can change by themselves."""
        samples = runs(cases, side)
        firsts: list[int | None] = [None] * len(cases)
        if any(patches):
            rows = Rows.of(samples, self._sources.patched(cases, side))
            firsts = [int(row.nonzero()[0]) if bool(row.any()) else None for row in rows.patched]
        spans = [(first or 0, len(sample) - 1) for first, sample in zip(firsts, samples, strict=True)]
        for patched in (True, False):
            mine = [number for number in range(len(cases)) if (firsts[number] is not None) == patched]
            mine.sort(key=lambda number: (spans[number][1] - spans[number][0], spans[number][0]))
            for numbers in self._split(mine, spans):
                yield _Batch(numbers=numbers, cases=[cases[n] for n in numbers], side=side, patched=patched)

    def _split(self, numbers: Sequence[int], spans: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
        """Consecutive runs that fit in a pass, with little padding after the shorter ones."""
        tokens = self._sources.config.batch_tokens
        limit, filled = min(tokens // _RECORDED_SHARE, _LOGITS // self._vocab), tokens // _FILLED_SHARE
        batch: list[int] = []
        for number in numbers:
            grown = [spans[n] for n in [*batch, number]]
            before, after = max(low for low, _ in grown), max(high - low for low, high in grown)
            padded, needed = len(grown) * after, sum(high - low for low, high in grown)
            if batch and (len(grown) * (before + after) > limit or (padded > filled and padded > _WASTE * needed)):
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _measured(self, batch: _Batch, patches: Sequence[Patch]) -> Float[Tensor, "patch case"]:
        """Mean log-probabilities of a batch; again in the plain way if the shortcuts turn out not to hold."""
        while True:
            shortcuts = not self.fallback
            found = self._tried(batch, patches, shortcuts)
            if shortcuts == (not self.fallback):
                return found

    def _tried(self, batch: _Batch, patches: Sequence[Patch], shortcuts: bool) -> Float[Tensor, "patch case"]:
        groups = by_entry(patches) if batch.patched else {}
        recorded = self._record(batch, list(groups), shortcuts)
        unmodified = _target_means(recorded.rows, recorded.logprobs)
        self._check_logprobs(batch, unmodified[None])
        found = unmodified.repeat(len(patches), 1)
        if groups:
            points = {site.hook_point for patch in patches for site in patch}
            replacement = self._replacement(batch, points, recorded)
        for entry, numbers in groups.items():
            at_once = self._copies(recorded)
            for low in range(0, len(numbers), at_once):
                chunk = numbers[low : low + at_once]
                chosen = [patches[number] for number in chunk]
                found[chunk] = _target_means(recorded.rows, recorded.replay(entry, chosen, replacement))
                self._check_logprobs(batch, found[chunk])
                self._note_replayed(recorded, entry, len(chunk))
            if shortcuts and entry.boundary not in self._verified:
                self._verify(batch, patches[numbers[0]], entry, float(found[numbers[0], 0]))
        return found

    def _record(self, batch: _Batch, entries: Sequence[HookPoint], shortcuts: bool) -> RecordedRuns:
        samples = batch.samples
        nowhere = torch.zeros(real_positions(samples).shape, dtype=torch.bool)
        patched = self._sources.patched(batch.cases, batch.side) if batch.patched else nowhere
        rows = Rows.of(samples, patched)
        if batch.patched and shortcuts:
            rows = rows.aligned()
        recorded = record(self._model, self._sites, rows, entries, shortcuts=shortcuts)
        try:
            check_finite(recorded.z, rows.real[:, recorded.first :])
        except NonFiniteError as error:
            raise self._located(batch, error.case) from error
        self.cost.note_recorded(len(samples))
        return recorded

    def _replacement(self, batch: _Batch, points: set[HookPoint], recorded: RecordedRuns) -> Replacement:
        rows = recorded.rows
        firsts = recorded.first - rows.shift
        first = int(firsts.min())
        made = self._sources.replacement(batch.cases, batch.side, points, first=first)
        if self._sources.config.source is not PatchSource.MEAN:
            self.cost.note_recorded(len(batch.cases))
        # From each row's own first column on, as the rows are aligned.
        places = torch.arange(rows.ids.shape[1] - recorded.first) + (firsts - first)[:, None]
        places, row = places.clamp(max=made.patched.shape[1] - 1), torch.arange(len(places))[:, None]
        values = {point: z[row, places] for point, z in made.values.items()}
        return Replacement(values=values, patched=rows.patched[:, recorded.first :])

    def _copies(self, recorded: RecordedRuns) -> int:
        """Patches of a batch that fit in a pass."""
        tokens = recorded.rows.ids[:, recorded.first :].numel()
        logits = int(recorded.rows.affected.sum()) * self._vocab
        return max(1, min(self._sources.config.batch_tokens // tokens, _LOGITS // logits))

    def _note_replayed(self, recorded: RecordedRuns, entry: HookPoint, copies: int) -> None:
        rows = recorded.rows
        tokens = rows.ids[:, recorded.first :].numel() / int(rows.real.sum())
        self.cost.note_replayed(copies * len(rows.ids), layers=recorded.layers_anew(entry), tokens=tokens)

    def _verify(self, batch: _Batch, patch: Patch, entry: HookPoint, found: float) -> None:
        """Compare the first run through this kind of entry with the plain way, and fall back where they differ."""
        alone = _Batch(numbers=[0], cases=batch.cases[:1], side=batch.side, patched=True)
        plain = float(self._tried(alone, [patch], shortcuts=False)[0, 0])
        self._verified.add(entry.boundary)
        if abs(plain - found) > _TOLERANCE.get(self._model.dtype, 0.05):
            self._fall_back(f"at {entry} they give {found:.6f} nats, whole runs {plain:.6f}")

    def _check_logprobs(self, batch: _Batch, found: Float[Tensor, "patch case"]) -> None:
        broken = ~torch.isfinite(found).all(0)
        if not bool(broken.any()):
            return
        raise self._located(batch, int(broken.nonzero()[0]))

    def _located(self, batch: _Batch, number: int) -> NonFiniteError:
        """Where the unmodified run of a case stops being finite, from one more forward pass."""
        run = batch.samples[number]
        return NonFiniteError(locate(self._model, self._sites, run.prompt + run.reply), number)

    def _fall_back(self, reason: str) -> None:
        if not self.fallback:
            self.fallback = f"{self._sites.model_type}: {reason}"
            logging.getLogger(__name__).warning("patching computes whole runs, without shortcuts: %s", self.fallback)

    @property
    def _vocab(self) -> int:
        return int(self._model.config.get_text_config().vocab_size)


def by_entry(patches: Sequence[Patch]) -> dict[HookPoint, list[int]]:
    """Numbers of the patches by their lowest hook point, attention below the MLP; empty patches are left out."""
    groups: dict[HookPoint, list[int]] = {}
    for number, patch in enumerate(patches):
        if patch:
            groups.setdefault(min(site.hook_point for site in patch), []).append(number)
    return groups


def _target_means(rows: Rows, logprobs: Float[Tensor, "*patch row pos"]) -> Float[Tensor, "*patch row"]:
    """Means over the targets of each row."""
    return (logprobs * rows.targets).sum(-1) / rows.targets.sum(-1)
