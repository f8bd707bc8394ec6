"""Exact patching of single components by ours and its peers: the same cases, source, positions and metric.

Peers run as their documentation shows: contrast activations cached once, then whole forward passes of a batch with
one component replaced by a hook, heads and neurons alike.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.demo import model_path
from breakers.sites import Boundary, Component, HookPoint, Site
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, TraceCase
from breakers.tracing.patching import exact_effects
from breakers.tracing.sources import PAD, Side, runs
from breakers.training.batches import Sample, collate
from breakers.training.losses import mean_logprob

BATCH_TOKENS = 2048
"""Of a pass, for everyone."""


class Contender(ABC):
    """Patches components one by one with the contrast run's activation, from the last prompt token on."""

    passes: float = 0.0
    """Forward-pass equivalents so far, of one run (prompt and completion) each."""

    @abstractmethod
    def effects(self, cases: Sequence[TraceCase], components: Sequence[Site]) -> Float[Tensor, "case site"]:
        """CausalEffect on the lead."""


class Ours(Contender):
    """`LeadMeasure`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._sites = resolve_sites(model)

    def effects(self, cases: Sequence[TraceCase], components: Sequence[Site]) -> Float[Tensor, "case site"]:
        measure = LeadMeasure(self._model, self._sites, PatchConfig(batch_tokens=BATCH_TOKENS))
        found = exact_effects(measure, cases, components, batch=len(cases)).by_case
        self.passes += measure.cost.total
        return found


class _WholePasses(Contender):
    """A peer: for each component, forward passes of all cases."""

    def effects(self, cases: Sequence[TraceCase], components: Sequence[Site]) -> Float[Tensor, "case site"]:
        found = torch.zeros(len(cases), len(components))
        with torch.no_grad():
            for side, sign in ((Side.HARMFUL, 1.0), (Side.NEUTRAL, -1.0)):
                for numbers in _batched(runs(cases, side)):
                    found[numbers] += sign * self._side([cases[n] for n in numbers], side, components)
        return found

    def _side(self, cases: Sequence[TraceCase], side: Side, components: Sequence[Site]) -> Float[Tensor, "case site"]:
        samples = runs(cases, side)
        batch = collate(samples, PAD)
        contrasts = [Sample(prompt=c.contrast or (), reply=s.reply) for c, s in zip(cases, samples, strict=True)]
        cached = self._cached(collate(contrasts, PAD).ids, sorted({site.hook_point for site in components}))
        patched = torch.arange(batch.ids.shape[1]) >= batch.starts[:, None]
        unpatched = mean_logprob(self._logits(batch.ids)[batch.targets], batch)
        self.passes += (2 + len(components)) * len(cases)
        return torch.stack(
            [
                unpatched - mean_logprob(self._patched_logits(batch.ids, site, cached, patched)[batch.targets], batch)
                for site in components
            ],
            1,
        )

    @abstractmethod
    def _cached(self, ids: Int[Tensor, "batch pos"], points: Sequence[HookPoint]) -> Mapping[HookPoint, Tensor]:
        """Activations of the contrast runs."""

    @abstractmethod
    def _logits(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        """Of the unmodified model."""

    @abstractmethod
    def _patched_logits(
        self,
        ids: Int[Tensor, "batch pos"],
        site: Site,
        cached: Mapping[HookPoint, Tensor],
        patched: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch pos vocab"]:
        """With one component replaced at the patched positions."""


class TransformerLens(_WholePasses):
    """`run_with_hooks` of TransformerBridge, which wraps the same transformers model."""

    def __init__(self, model: PreTrainedModel) -> None:
        from transformer_lens.model_bridge import TransformerBridge

        # It wants the configuration as files, and a tokenizer, which is not used here.
        tokenizer = AutoTokenizer.from_pretrained(model_path(), local_files_only=True)
        with tempfile.TemporaryDirectory() as folder:
            model.config.architectures = [type(model).__name__]
            model.config.save_pretrained(folder)
            self._bridge = TransformerBridge.boot_transformers(
                folder, hf_model=model, tokenizer=tokenizer, device="cpu"
            )

    def _cached(self, ids: Int[Tensor, "batch pos"], points: Sequence[HookPoint]) -> Mapping[HookPoint, Tensor]:
        _, cache = self._bridge.run_with_cache(ids, names_filter=[_hook_name(point) for point in points])
        return {point: cache[_hook_name(point)] for point in points}

    def _logits(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        logits: Tensor = self._bridge(ids, return_type="logits")
        return logits

    def _patched_logits(
        self, ids: Tensor, site: Site, cached: Mapping[HookPoint, Tensor], patched: Tensor
    ) -> Float[Tensor, "batch pos vocab"]:
        index = site.head if site.component is Component.HEAD else _neuron(site)

        def replace(z: Tensor, hook: object) -> Tensor:
            return put(z, cached[site.hook_point], index, patched)

        hooks = [(_hook_name(site.hook_point), replace)]
        logits: Tensor = self._bridge.run_with_hooks(ids, fwd_hooks=hooks, return_type="logits")
        return logits


class Nnsight(_WholePasses):
    """Traces of NNsight around the same transformers model."""

    def __init__(self, model: PreTrainedModel) -> None:
        from nnsight import NNsight

        self._sites = resolve_sites(model)
        self._names = {module: name for name, module in model.named_modules()}
        self._wrapped: Any = NNsight(model)

    def _cached(self, ids: Int[Tensor, "batch pos"], points: Sequence[HookPoint]) -> Mapping[HookPoint, Tensor]:
        saved: dict[HookPoint, Any] = {}
        with self._wrapped.trace(ids):
            for point in points:
                saved[point] = self._at(point).input.save()
        return saved

    def _logits(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        with self._wrapped.trace(ids):
            logits = self._wrapped.output.logits.save()
        return logits

    def _patched_logits(
        self, ids: Tensor, site: Site, cached: Mapping[HookPoint, Tensor], patched: Tensor
    ) -> Float[Tensor, "batch pos vocab"]:
        width = self._sites.d_head
        index = _neuron(site) if site.head is None else slice(site.head * width, (site.head + 1) * width)
        source, projection = cached[site.hook_point], self._at(site.hook_point)
        with self._wrapped.trace(ids):
            projection.input = put(projection.input, source, index, patched)
            logits = self._wrapped.output.logits.save()
        return logits

    def _at(self, point: HookPoint) -> Any:
        """The wrapper of a hook point's projection."""
        found = self._wrapped
        for part in self._names[self._sites.module(point)].split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        return found


CONTENDERS: Mapping[str, Callable[[PreTrainedModel], Contender]] = {
    "ours": Ours,
    "transformer_lens": TransformerLens,
    "nnsight": Nnsight,
}


def put(z: Tensor, source: Tensor, index: int | slice, patched: Bool[Tensor, "batch pos"]) -> Tensor:
    """Activations with one component taken from another run at the patched positions."""
    z = z.clone()
    own = z[:, :, index]
    z[:, :, index] = torch.where(patched if own.ndim == 2 else patched[..., None], source[:, :, index], own)
    return z


def _hook_name(point: HookPoint) -> str:
    if point.boundary is Boundary.ATTENTION_OUT_INPUT:
        return f"blocks.{point.layer}.attn.hook_z"
    return f"blocks.{point.layer}.mlp.out.hook_in"


def _neuron(site: Site) -> int:
    return cast(tuple[int, ...], site.neurons)[0]


def _batched(samples: Sequence[Sample]) -> Iterator[list[int]]:
    """Numbers of runs of like lengths, as many as fit in a pass."""
    batch: list[int] = []
    for number in sorted(range(len(samples)), key=lambda number: len(samples[number])):
        if batch and (len(batch) + 1) * len(samples[number]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
