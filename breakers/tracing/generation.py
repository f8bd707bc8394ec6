"""Replies generated while patches hold: left-padded batches with a cache, many patches in one batch.

A row is one case under one patch. With source `contrast` each row has a companion that reads the contrast prompt and
is forced to the same tokens, in the same pass; with the other sources the replacements are known beforehand.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from breakers.architectures import ModelSites
from breakers.errors import NonFiniteError, TracingError
from breakers.sites import HookPoint
from breakers.tracing.activations import by_row, check_points, head_rows, locate, on_device_of
from breakers.tracing.cost import Cost
from breakers.tracing.offsets import OffsetSource, offset_source
from breakers.tracing.patches import Patch, PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.prefix import empty_cache
from breakers.tracing.sources import PAD, OffsetMeans

_CACHED_SHARE = 4
"""Tokens in the cache of a batch, in units of `batch_tokens`: a pass has one token of each row only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """How replies are generated."""

    end: int
    """Token that ends a reply."""
    max_new_tokens: int = 32
    temperature: float = 0.0
    """0 is greedy; otherwise plain sampling from the whole distribution."""
    seed: int = 0
    """Of the sampling. A case is given the same random numbers under every patch and in every batch."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.temperature < 0:
            raise TracingError(
                f"generation has max_new_tokens={self.max_new_tokens}, temperature={self.temperature}; wanted at "
                "least 1 and 0"
            )


class PatchedGenerator:
    """Generates one reply to each case under each patch."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        config: PatchConfig,
        generation: GenerationConfig,
        *,
        means: OffsetMeans | None = None,
    ) -> None:
        """Prepare; `means` are for source `mean`.

        Raises:
            TracingError: the model is in training mode, or source `mean` has no means.
        """
        if model.training:
            raise TracingError("the model is in training mode, where runs differ by chance; wanted model.eval()")
        if config.source is PatchSource.MEAN and means is None:
            raise TracingError("source `mean` needs the mean activations of neutral runs; there are none")
        self._model = model
        self._sites = sites
        self._config = config
        self._generation = generation
        self._means = means
        self.cost = Cost()

    @torch.no_grad()
    def replies(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> list[list[tuple[int, ...]]]:
        """Token ids of each reply by patch and case, without the end token.

        Raises:
            TracingError: a case that cannot be patched so, or a site of a kind that cannot.
            NonFiniteError: naming the layer and the case.
            SiteError: the model has no such site.
        """
        if not cases or not patches:
            raise TracingError(
                f"there are {len(cases)} cases and {len(patches)} patches; wanted at least one of each"
            )
        check_points({site.hook_point for patch in patches for site in patch})
        found: list[list[tuple[int, ...]]] = [[()] * len(cases) for _ in patches]
        order = sorted(range(len(cases)), key=lambda number: len(cases[number].prompt))
        longest = max(len(case.prompt) for case in cases) + self._generation.max_new_tokens
        rows = max(1, _CACHED_SHARE * self._config.batch_tokens // (longest * self._companions))
        for low in range(0, len(order), rows):
            numbers = order[low : low + rows]
            at_once = max(1, rows // len(numbers))
            for start in range(0, len(patches), at_once):
                chosen = patches[start : start + at_once]
                try:
                    with on_device_of(self._model):
                        made = self._batch([cases[number] for number in numbers], chosen)
                except NonFiniteError as error:
                    raise NonFiniteError(error.where, numbers[error.case]) from error
                for patch, replies in enumerate(made, start):
                    for number, reply in zip(numbers, replies, strict=True):
                        found[patch][number] = reply
        return found

    def _batch(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> list[list[tuple[int, ...]]]:
        source = offset_source(self._model, self._sites, self._config, self._means, cases, patches)
        run = _Run(self._model, self._sites, cases, patches, source, self._config)
        draws = _draws(cases, self._generation)
        tokens = run.start()
        new: list[Tensor] = []
        done = torch.zeros(len(patches) * len(cases), dtype=torch.bool)
        for offset in range(self._generation.max_new_tokens):
            logits = run.step(tokens, new)
            uniform = None if draws is None else draws[:, offset].repeat(len(patches))
            chosen = _choose(logits, self._generation.temperature, uniform)
            chosen = torch.where(done, self._generation.end, chosen)
            new.append(chosen)
            done |= chosen == self._generation.end
            if bool(done.all()):
                break
            tokens = chosen[:, None]
        longest = max(len(case.prompt) for case in cases)
        runs = len(done) * self._companions
        self.cost.note_replayed(runs, layers=1.0, tokens=len(new) / (len(new) + longest))
        self.cost.note_recorded(len(cases) * self._companions)
        by_row = [_until(row, self._generation.end) for row in torch.stack(new, 1).tolist()]
        return [by_row[at : at + len(cases)] for at in range(0, len(by_row), len(cases))]

    @property
    def _companions(self) -> int:
        """Runs of a row: its own, and that on the contrast prompt."""
        return 2 if self._config.source is PatchSource.CONTRAST else 1


class _Run:
    """One batch while it is generated; rows are copies of the cases, one after the other, then their companions."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        cases: Sequence[TraceCase],
        patches: Sequence[Patch],
        source: OffsetSource,
        config: PatchConfig,
    ) -> None:
        self._model = model
        self._sites = sites
        self._cases = cases
        self._patches = patches
        self._source = source
        self._everywhere = config.positions is Positions.ALL
        self._ids, self._mask = _left_padded(source.prompts(cases))
        self._cache: DynamicCache = empty_cache(model)

    def start(self) -> Int[Tensor, "all_rows 1"]:
        """Run the prompts but for their last tokens, which are returned."""
        groups = len(self._ids) // len(self._cases)
        order = torch.arange(len(self._ids)).view(groups, 1, -1).expand(-1, len(self._patches), -1).flatten()
        if self._everywhere:
            self._ids, self._mask = self._ids[order], self._mask[order]
        before = self._ids.shape[1] - 1
        if before:
            with self._patched(range(-before, 0), ()) if self._everywhere else ExitStack():
                self._forward(self._ids[:, :-1], self._mask[:, :-1], head=False)
        if not self._everywhere:
            self._ids, self._mask = self._ids[order], self._mask[order]
            if before:
                self._cache.batch_select_indices(order)
        return self._ids[:, -1:]

    def step(
        self, tokens: Int[Tensor, "all_rows 1"], new: Sequence[Int[Tensor, " row"]]
    ) -> Float[Tensor, "row vocab"]:
        """Logits after one more token of each row.

        Args:
            tokens: the last prompt tokens of all rows at first, then those just chosen.
            new: all that were chosen so far.
        """
        if new:
            tokens = tokens.repeat(len(self._mask) // len(tokens), 1)
            self._mask = torch.cat([self._mask, torch.ones_like(tokens)], 1)
        with self._patched(range(len(new), len(new) + 1), new):
            logits = self._forward(tokens, self._mask, head=True)
        broken = (~torch.isfinite(logits).all(1)).nonzero()
        if len(broken):
            case = int(broken[0]) % len(self._cases)
            raise NonFiniteError(locate(self._model, self._sites, self._cases[case].prompt), case)
        return logits

    def _forward(self, ids: Int[Tensor, "all_rows pos"], mask: Int[Tensor, "all_rows all"], *, head: bool) -> Tensor:
        wanted = torch.zeros(ids.shape, dtype=torch.bool)
        wanted[: len(self._patches) * len(self._cases), -1] = head
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        with head_rows(self._model, wanted):
            logits: Tensor = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=self._cache,
                use_cache=True,
            ).logits
        return logits.float()

    @contextmanager
    def _patched(self, offsets: range, new: Sequence[Int[Tensor, " row"]]) -> Iterator[None]:
        """Patch the forward pass inside, whose positions are at these offsets from the last prompt token."""
        copies, cases = len(self._patches), len(self._cases)
        live = self._source.patched(offsets, new, copies)
        live &= torch.unflatten(self._tokens_at(offsets), 0, (copies, cases))
        with ExitStack() as hooks:
            for point in {site.hook_point for patch in self._patches for site in patch}:
                ours = torch.zeros(copies, 1, 1, self._sites.width(point), dtype=torch.bool)
                for number, patch in enumerate(self._patches):
                    for site in patch:
                        if site.hook_point == point:
                            ours[number, ..., self._sites.channels(site)] = True
                edit = partial(self._edit, point, offsets, ours & live[..., None])
                hooks.callback(self._sites.module(point).register_forward_pre_hook(edit).remove)
            yield

    def _tokens_at(self, offsets: range) -> Bool[Tensor, "row offset"]:
        """Positions of the latest columns that hold a token, in rows that are patched."""
        rows = self._mask[: len(self._patches) * len(self._cases)]
        end = rows.shape[1] + min(offsets.stop - 1, 0)
        return rows[:, end - len(offsets) : end].bool()

    def _edit(
        self,
        point: HookPoint,
        offsets: range,
        where: Bool[Tensor, "copy case offset width"],
        _module: nn.Module,
        args: tuple[Any, ...],
    ) -> tuple[Any, ...]:
        copies, cases = len(self._patches), len(self._cases)
        z = by_row(args[0], len(self._ids))
        own = torch.unflatten(z[: copies * cases], 0, (copies, cases))
        edited = torch.where(where, self._source.values(point, offsets, z, copies), own).flatten(0, 1)
        return (torch.cat([edited, z[copies * cases :]]).reshape(args[0].shape), *args[1:])


def _left_padded(prompts: Sequence[tuple[int, ...]]) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """Token ids, and 1 where there is a token."""
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def _draws(cases: Sequence[TraceCase], generation: GenerationConfig) -> Float[Tensor, "case new"] | None:
    """Uniform random numbers of each case, from the seed and its prompt; None when greedy."""
    if not generation.temperature:
        return None
    seeds = [zlib.crc32(repr((generation.seed, case.prompt)).encode()) for case in cases]
    count = generation.max_new_tokens
    drawn = [torch.rand(count, generator=torch.Generator().manual_seed(seed), device="cpu") for seed in seeds]
    return torch.tensor(torch.stack(drawn).tolist())


def _choose(
    logits: Float[Tensor, "row vocab"], temperature: float, uniform: Float[Tensor, " row"] | None
) -> Int[Tensor, " row"]:
    if uniform is None:
        return logits.argmax(-1)
    reached = (logits.double() / temperature).softmax(-1).cumsum(-1)
    # Rounding may leave the last sum a little below 1.
    return torch.searchsorted(reached, uniform.double()[:, None])[:, 0].clamp(max=logits.shape[1] - 1)


def _until(tokens: Sequence[int], end: int) -> tuple[int, ...]:
    return tuple(tokens[: tokens.index(end)] if end in tokens else tokens)
