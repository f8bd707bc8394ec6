"""Runs under many patches at once, of which only what a patch can change is computed anew.

One unmodified run of a batch is recorded. A run under a patch starts at the patch's lowest hook point (its *entry*):
the blocks below hand on what they returned, the part of the block that the entry's projection ends (attention or MLP)
returns its recorded output plus the projection of the change, and positions before the first patched one are in a
cache of keys and values. Everything from there on is the model's own code. Without shortcuts, whole runs with the
activations replaced by hooks: the plain way, which the shortcuts have to equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from breakers.architectures import ModelSites
from breakers.sites import Boundary, HookPoint
from breakers.tracing.activations import Activations, by_row, captured, head_rows
from breakers.tracing.patches import Patch
from breakers.tracing.prefix import SharedPrefix, empty_cache
from breakers.tracing.sources import PAD, Replacement, real_positions
from breakers.tracing.stand_ins import Output, StandIn, StandInSearch, replaced_forward
from breakers.training.batches import Sample, collate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Runs that are scored, padded, without their last token, which no score depends on."""

    ids: Int[Tensor, "row pos"]
    following: Int[Tensor, "row pos"]
    """The token after each."""
    targets: Bool[Tensor, "row pos"]
    """Positions whose following token belongs to the completion."""
    real: Bool[Tensor, "row pos"]
    """Positions that hold a token."""
    patched: Bool[Tensor, "row pos"]
    shift: Int[Tensor, " row"]
    """Columns of padding on the left."""

    @classmethod
    def of(cls, samples: Sequence[Sample], patched: Bool[Tensor, "row pos"]) -> Rows:
        """Padded on the right; `patched` is for whole runs, as `Sources.patched` gives it."""
        batch = collate(samples, PAD)
        # The last token of a shorter row has no target after it either.
        real = real_positions(samples)[:, 1:]
        return cls(
            ids=batch.ids[:, :-1],
            following=batch.ids[:, 1:],
            targets=batch.targets[:, :-1],
            real=real,
            patched=patched[:, :-1] & real,
            shift=torch.zeros(len(samples), dtype=torch.long),
        )

    def aligned(self) -> Rows:
        """The same runs with their first patched positions in one column, and as little padding after it as can be.

        Every row has a patched position.
        """
        firsts = self.patched.long().argmax(1)
        shift = firsts.max() - firsts
        width = int(firsts.max() + (self.real.sum(1) - firsts).max())
        places = torch.arange(width) - shift[:, None]
        index = places.clamp(0, self.ids.shape[1] - 1)
        inside = self.real.gather(1, index) & (places >= 0) & (places < self.ids.shape[1])
        return Rows(
            ids=torch.where(inside, self.ids.gather(1, index), PAD),
            following=self.following.gather(1, index),
            targets=self.targets.gather(1, index) & inside,
            real=inside,
            patched=self.patched.gather(1, index) & inside,
            shift=shift,
        )

    def inputs(self, low: int, high: int, copies: int = 1) -> dict[str, Tensor]:
        """What says to a forward pass of columns low to high, after those before it, where they stand."""
        places = torch.arange(low, high)[None]
        if not bool(self.shift.any()):
            return {"position_ids": places}
        mask = torch.arange(high) >= self.shift[:, None]
        # Transformers wants numbers; whole rows of padding get position 0.
        places = (places - self.shift[:, None]).clamp(min=0)
        return {"position_ids": places.repeat(copies, 1), "attention_mask": mask.long().repeat(copies, 1)}

    @property
    def first(self) -> int:
        """The first position that is patched in any row; 0 where none is."""
        hit = self.patched.any(0).nonzero()
        return int(hit[0]) if len(hit) else 0

    @property
    def affected(self) -> Bool[Tensor, "row pos"]:
        """Targets that the patches of their row can change: those from its first patched position on."""
        return self.targets & (self.patched.cumsum(1) > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRuns:
    """Unmodified runs of a batch, and what runs under patches start from; positions from `first` on."""

    model: PreTrainedModel
    sites: ModelSites
    rows: Rows
    first: int
    logprobs: Float[Tensor, "row pos"]
    """Of the following token at each target, and 0 elsewhere; all positions."""
    shortcuts: bool
    prefix: SharedPrefix | None = field(repr=False)
    z: Activations = field(repr=False)
    """At the entries."""
    stand_ins: Mapping[HookPoint, StandIn] = field(repr=False)
    """Of the entries, and of the attention in the layers of entries in an MLP."""
    handed_on: Mapping[int, Output] = field(repr=False)
    """Layer -> what its block returned, for the layers just below an entry's."""

    def replay(
        self, entry: HookPoint, patches: Sequence[Patch], replacement: Replacement
    ) -> Float[Tensor, "patch row pos"]:
        """Log-probabilities of the following tokens under patches, 0 where there is no target.

        Args:
            entry: the lowest hook point of every one of the patches.
            patches: none of them empty.
            replacement: of these rows, from `first` on.
        """
        copies, rows = len(patches), self.rows
        affected = rows.affected[:, self.first :]
        with ExitStack() as changed:
            if self.shortcuts:
                self._start_at(entry, patches, replacement, changed)
            for point in {site.hook_point for patch in patches for site in patch}:
                if not (self.shortcuts and point == entry):
                    changed.enter_context(self._replaced(point, patches, replacement))
            ids = rows.ids[:, self.first :].repeat(copies, 1)
            following = rows.following[:, self.first :][affected].repeat(copies)
            inputs = rows.inputs(self.first, rows.ids.shape[1], copies)
            found = _run(self.model, ids, inputs, self.prefix, following, affected.repeat(copies, 1))
        logprobs = self.logprobs.repeat(copies, 1, 1)
        logprobs[:, :, self.first :][:, affected] = torch.unflatten(found, 0, (copies, -1))
        return logprobs

    def layers_anew(self, entry: HookPoint) -> float:
        """The share of the layers that runs from this entry compute anew; a layer in part counts as one."""
        if not self.shortcuts:
            return 1.0
        saved = entry.boundary is Boundary.MLP_DOWN_INPUT and self.stand_ins[entry].whole
        return (self.sites.layers - entry.layer - saved) / self.sites.layers

    def _start_at(
        self, entry: HookPoint, patches: Sequence[Patch], replacement: Replacement, changed: ExitStack
    ) -> None:
        """Let the blocks below, and the entry's own part of its block, return what is known."""
        copies, batch = len(patches), len(self.rows.ids)
        if entry.layer:
            below = self.handed_on[entry.layer - 1]
            hidden = _spread(by_row(below.tensor, batch), copies)
            for layer in range(entry.layer):
                block = self.sites.module(HookPoint(layer, Boundary.BLOCK_OUTPUT))
                changed.enter_context(replaced_forward(block, partial(_hand_on, below, hidden)))
        if entry.boundary is Boundary.MLP_DOWN_INPUT:
            attention = self.stand_ins[HookPoint(entry.layer, Boundary.ATTENTION_OUT_INPUT)]
            changed.enter_context(attention.replaced(_spread(attention.tensor(batch), copies)))
        own = self.stand_ins[entry]
        change = self._change(entry, patches, replacement)
        changed.enter_context(own.replaced((own.tensor(batch) + change).flatten(0, 1)))

    def _change(
        self, entry: HookPoint, patches: Sequence[Patch], replacement: Replacement
    ) -> Float[Tensor, "patch row pos d_model"]:
        """What each patch adds to the output of the entry's projection."""
        patched = self.rows.patched[:, self.first :, None]
        change = torch.where(patched, replacement.values[entry] - self.z[entry], 0)
        weight = projection_weight(self.sites.module(entry))
        channels = [self._channels(entry, patch) for patch in patches]
        if len({len(each) for each in channels}) > 1:
            return torch.stack([change[:, :, each] @ weight[each] for each in channels])
        index = torch.tensor(channels)
        moved = change[:, :, index].flatten(0, 1).transpose(0, 1)
        return torch.unflatten(torch.bmm(moved, weight[index]), 1, change.shape[:2])

    @contextmanager
    def _replaced(self, point: HookPoint, patches: Sequence[Patch], replacement: Replacement) -> Iterator[None]:
        """Put the replacement where each copy's patch has channels, in activations that are computed anew."""
        ours = torch.zeros(len(patches), self.sites.width(point), dtype=torch.bool)
        for number, patch in enumerate(patches):
            ours[number, self._channels(point, patch)] = True
        where = ours[:, None, None, :] & self.rows.patched[:, self.first :, None]

        def edit(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            z = by_row(args[0], where.shape[0] * where.shape[1])
            edited = torch.where(where, replacement.values[point], torch.unflatten(z, 0, where.shape[:2]))
            return (edited.reshape(args[0].shape), *args[1:])

        handle = self.sites.module(point).register_forward_pre_hook(edit)
        try:
            yield
        finally:
            handle.remove()

    def _channels(self, point: HookPoint, patch: Patch) -> list[int]:
        """The patch's channels at a hook point, each once."""
        return sorted({c for site in patch if site.hook_point == point for c in self.sites.channels(site)})


def record(
    model: PreTrainedModel, sites: ModelSites, rows: Rows, entries: Sequence[HookPoint], *, shortcuts: bool = True
) -> RecordedRuns:
    """Run a batch unmodified, keeping what runs under patches start from.

    Args:
        model: the model that `sites` were resolved for.
        sites: from `resolve_sites`.
        rows: the batch.
        entries: the lowest hook points of the patches to come.
        shortcuts: whether those may start at their entries and at the first patched position.
    """
    first = rows.first if shortcuts else 0
    logprobs = torch.zeros(rows.ids.shape)
    prefix = _fill(model, rows, first, logprobs) if first else None
    searches = _searches(sites, entries) if shortcuts else {}
    handed_on: dict[int, Output] = {}
    with ExitStack() as watching:
        z = watching.enter_context(captured(sites, entries if shortcuts else (), batch=len(rows.ids)))
        for search in searches.values():
            watching.enter_context(search.watching())
        for layer in {entry.layer - 1 for entry in entries if shortcuts and entry.layer}:
            block = sites.module(HookPoint(layer, Boundary.BLOCK_OUTPUT))
            watching.callback(block.register_forward_hook(partial(_keep, handed_on, layer)).remove)
        wanted = rows.targets[:, first:]
        following = rows.following[:, first:][wanted]
        inputs = rows.inputs(first, rows.ids.shape[1])
        logprobs[:, first:][wanted] = _run(model, rows.ids[:, first:], inputs, prefix, following, wanted)
    return RecordedRuns(
        model=model,
        sites=sites,
        rows=rows,
        first=first,
        logprobs=logprobs,
        shortcuts=shortcuts,
        prefix=prefix,
        z=z,
        stand_ins={point: search.found for point, search in searches.items()},
        handed_on=handed_on,
    )


def projection_weight(projection: nn.Module) -> Float[Tensor, "width d_model"]:
    """The weight by which a projection's input is multiplied from the right."""
    weight = getattr(projection, "weight")  # noqa: B009 - mypy: an attribute of a Module is Any
    stored: Tensor = weight if isinstance(projection, Conv1D) else weight.T
    return stored.detach()


def _searches(sites: ModelSites, entries: Sequence[HookPoint]) -> dict[HookPoint, StandInSearch]:
    points = {*entries, *(HookPoint(entry.layer, Boundary.ATTENTION_OUT_INPUT) for entry in entries)}
    blocks = {point: sites.module(HookPoint(point.layer, Boundary.BLOCK_OUTPUT)) for point in points}
    return {point: StandInSearch(blocks[point], sites.module(point)) for point in sorted(points)}


def _fill(model: PreTrainedModel, rows: Rows, first: int, logprobs: Float[Tensor, "row pos"]) -> SharedPrefix:
    """Run the positions before `first`, noting the log-probabilities of targets among them."""
    cache, wanted = empty_cache(model), rows.targets[:, :first]
    with head_rows(model, wanted):
        inputs = rows.inputs(0, first)
        logits = model(input_ids=rows.ids[:, :first], past_key_values=cache, use_cache=True, **inputs).logits
    logprobs[:, :first][wanted] = _logprobs(logits, rows.following[:, :first][wanted])
    return SharedPrefix(cache)


def _run(
    model: PreTrainedModel,
    ids: Int[Tensor, "row pos"],
    inputs: dict[str, Tensor],
    prefix: SharedPrefix | None,
    following: Int[Tensor, " target"],
    wanted: Bool[Tensor, "row pos"],
) -> Float[Tensor, " target"]:
    """Log-probabilities of the tokens that follow the wanted positions."""
    cached: dict[str, Any] = {"use_cache": False}
    if prefix is not None:
        cached = {"use_cache": True, "past_key_values": prefix, **inputs}
    with head_rows(model, wanted):
        return _logprobs(model(input_ids=ids, **cached).logits, following)


def _logprobs(logits: Float[Tensor, "target vocab"], following: Int[Tensor, " target"]) -> Float[Tensor, " target"]:
    return -functional.cross_entropy(logits.float(), following, reduction="none")


def _spread(tensor: Float[Tensor, "row pos d_model"], copies: int) -> Float[Tensor, "copy pos d_model"]:
    return tensor.expand(copies, *tensor.shape).flatten(0, 1)


def _keep(kept: dict[int, Output], layer: int, _module: nn.Module, _args: Any, returned: Any) -> None:
    output = Output.of(returned)
    kept[layer] = Output(tensor=output.tensor.clone(), rest=output.rest)


def _hand_on(recorded: Output, hidden: Tensor, *_args: Any, **_kwargs: Any) -> Any:
    return recorded.with_tensor(hidden)
