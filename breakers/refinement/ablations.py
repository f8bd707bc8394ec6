"""Ablations of a circuit: what the model does when it is taken out, on harmful prompts and on unrelated skills.

Each acts at the targets, as a bundle of scope `generation` would: `zero` is a mask, `mean` a mask with a steering
vector, both through the bank that serves; `resample` puts the activations of another sample in place, token by token.
Mean and other samples come from a reference that the caller gives: benign samples, so that what an ablation puts in
place of the harm is the model's ordinary state.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import BankEntry, Scope
from breakers.errors import TracingError
from breakers.interventions import Intervention, Mask, SteeringVector
from breakers.refinement.joint import joint_patch
from breakers.refinement.reference import mean_activations, stand_ins
from breakers.sites import HookPoint, Site
from breakers.tracing.activations import Activations, check_points
from breakers.tracing.patches import Patch, TraceCase
from breakers.tracing.sources import OffsetMeans
from breakers.training.batches import Batch, Sample
from breakers.training.forward import plain_logits, steered_logits

ReferenceKind: TypeAlias = Literal["none", "benign", "neutral"]
AblationKind: TypeAlias = Literal["zero", "mean", "resample"]
KINDS: tuple[AblationKind, ...] = ("zero", "mean", "resample")


@runtime_checkable
class Ablation(Protocol):
    """A way to take a circuit out."""

    @property
    def kind(self) -> AblationKind:
        """Which."""
        ...

    @property
    def patch(self) -> Patch:
        """The circuit."""
        ...

    def logits(self, samples: Sequence[Sample], batch: Batch) -> Float[Tensor, "target vocab"]:
        """Logits at the targets without the circuit; `batch` holds the samples as tensors."""
        ...

    def by_offset(self, cases: Sequence[TraceCase], offsets: int) -> list[tuple[list[int], OffsetMeans]]:
        """What stands in place of the circuit while replies are generated.

        Args:
            cases: whose prompts are replied to.
            offsets: how many tokens, from the last prompt token on.

        Returns:
            Numbers of cases that share it, and the activations by offset; each case once.
        """
        ...


def make_ablation(
    kind: AblationKind,
    model: PreTrainedModel,
    sites: ModelSites,
    circuit: Sequence[Site],
    reference: Sequence[Sample],
    seed: int = 0,
) -> Ablation:
    """An ablation of a circuit.

    Args:
        kind: zero, mean or resample.
        model: in eval mode; never changed.
        sites: from `resolve_sites`.
        circuit: heads and neurons, at least one.
        reference: samples whose activations are averaged, or put in place; not used by `zero`.
        seed: of the choice of other samples.

    Raises:
        TracingError: an empty circuit, an empty reference where one is needed, or neurons of routed experts with
            `mean` and `resample`.
        SiteError: the model has no such site.
    """
    patch = joint_patch(circuit)
    if not patch:
        raise TracingError("an empty circuit cannot be ablated; wanted at least one head or neuron")
    if kind == "resample":
        return ResampleAblation(model, sites, patch, reference, seed)
    if kind == "mean":
        return BankAblation(model, sites, kind, mean_activations(model, sites, reference, patch))
    return BankAblation(model, sites, kind, {site: torch.zeros(len(sites.channels(site))) for site in patch})


class BankAblation:
    """Zero and mean ablation, through the bank."""

    def __init__(
        self,
        model: PreTrainedModel,
        sites: ModelSites,
        kind: AblationKind,
        vectors: Mapping[Site, Float[Tensor, " d"]],
    ) -> None:
        """`vectors`: what stands in place of each site."""
        self._model, self._sites, self._kind, self._vectors = model, sites, kind, dict(vectors)
        removed: list[Intervention] = [Mask(site=s, keep=torch.zeros_like(vector)) for s, vector in vectors.items()]
        if kind == "mean":
            removed += [SteeringVector(site=site, vector=vector) for site, vector in vectors.items()]
        self.entry = BankEntry(name=kind, scope=Scope.GENERATION, interventions=tuple(removed))

    @property
    def kind(self) -> AblationKind:
        return self._kind

    @property
    def patch(self) -> Patch:
        return tuple(self._vectors)

    @torch.no_grad()
    def logits(self, samples: Sequence[Sample], batch: Batch) -> Float[Tensor, "target vocab"]:
        return steered_logits(self._model, self._sites, [self.entry], batch, torch.ones(len(samples), 1))

    def by_offset(self, cases: Sequence[TraceCase], offsets: int) -> list[tuple[list[int], OffsetMeans]]:
        values: Activations = {}
        for site, vector in self._vectors.items():
            point = site.hook_point
            whole = values.setdefault(point, torch.zeros(offsets, self._sites.width(point), dtype=self._model.dtype))
            whole[:, self._sites.channels(site)] = vector.to(self._model.dtype)
        return [(list(range(len(cases))), _always(values, offsets))]


class ResampleAblation:
    """Resample ablation: each prompt has one other sample, whose activations stand in for its own."""

    def __init__(
        self, model: PreTrainedModel, sites: ModelSites, patch: Sequence[Site], reference: Sequence[Sample], seed: int
    ) -> None:
        """`patch`: sites as of `joint_patch`; others as `make_ablation`."""
        if not reference:
            raise TracingError("no samples to resample activations from; wanted at least one")
        self._model, self._sites, self._patch = model, sites, tuple(patch)
        self._reference, self._seed = tuple(reference), seed
        self._channels: dict[HookPoint, list[int]] = {}
        for site in patch:
            self._channels.setdefault(site.hook_point, []).extend(sites.channels(site))
        check_points(self._channels)

    @property
    def kind(self) -> AblationKind:
        return "resample"

    @property
    def patch(self) -> Patch:
        return self._patch

    @torch.no_grad()
    def logits(self, samples: Sequence[Sample], batch: Batch) -> Float[Tensor, "target vocab"]:
        partners = [self.partner(sample) for sample in samples]
        values = stand_ins(self._model, self._sites, partners, batch, self._channels)
        with self._replaced(values, batch):
            return plain_logits(self._model, batch)

    def by_offset(self, cases: Sequence[TraceCase], offsets: int) -> list[tuple[list[int], OffsetMeans]]:
        groups: dict[Sample, list[int]] = {}
        for number, case in enumerate(cases):
            groups.setdefault(self.partner(case.pair.harmful), []).append(number)
        return [(numbers, self._run_of(partner, offsets)) for partner, numbers in groups.items()]

    def _run_of(self, partner: Sample, offsets: int) -> OffsetMeans:
        one = Batch(
            ids=torch.zeros(1, offsets, dtype=torch.long),
            targets=torch.ones(1, offsets, dtype=torch.bool),
            starts=torch.zeros(1, dtype=torch.long),
        )
        values = stand_ins(self._model, self._sites, [partner], one, self._channels)
        return _always({point: z[0] for point, z in values.items()}, offsets)

    def partner(self, sample: Sample) -> Sample:
        """The sample whose activations stand in; by the prompt alone, so that both replies of a pair share it."""
        others = [other for other in self._reference if other.prompt != sample.prompt]
        if not others:
            raise TracingError("the reference has no sample with another prompt; wanted at least one")
        return random.Random(f"{self._seed} {sample.prompt}").choice(others)

    @contextmanager
    def _replaced(self, values: Activations, batch: Batch) -> Iterator[None]:
        def replace(point: HookPoint, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            z = args[0]
            here = torch.zeros(z.shape[-1], dtype=torch.bool)
            here[self._channels[point]] = True
            chosen = (batch.targets[..., None] & here).reshape(z.shape)
            return (torch.where(chosen, values[point].reshape(z.shape), z), *args[1:])

        with ExitStack() as hooks:
            for point in values:
                handle = self._sites.module(point).register_forward_pre_hook(partial(replace, point))
                hooks.callback(handle.remove)
            yield


def _always(values: Activations, offsets: int) -> OffsetMeans:
    """The same activations by offset, as source `mean` takes them; they are there at every offset."""
    return OffsetMeans(before=0, counts=torch.ones(offsets, dtype=torch.long), values=values)
