"""Edits of routed experts' neurons, through transformers' experts interface.

The activations that enter an expert's down projection appear in no module: one function computes all experts of a
layer from stacked weights. While a bank with expert sites is attached, that function is ours. Tokens that no
intervention touches come out of the model's own function, bit for bit; the others are computed expert by expert
from the same weights, with the edit before the down projection.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import HookStrengths
from breakers.errors import RuntimeAttachError
from breakers.sites import HookPoint

EXPERTS_NAME = "scalpel_experts"
_EDITOR = "scalpel_editor"
"""Attribute of an experts module, there while a bank is attached."""

ExpertsForward = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


@runtime_checkable
class PointEditor(Protocol):
    """What the run time offers: strengths of the tokens of this forward, and the edit."""

    def strengths_at(self, point: HookPoint, tokens: int) -> HookStrengths | None:
        """By token; None where no token uses the hook point."""

    def edit(self, point: HookPoint, z: Float[Tensor, "row d_mlp"], strengths: HookStrengths) -> Tensor:
        """z' of the rows that `strengths` is for."""


class LayerEditor:
    """The experts of one layer, with interventions on some of them."""

    def __init__(
        self, module: nn.Module, base: ExpertsForward, points: Mapping[int, HookPoint], editor: PointEditor
    ) -> None:
        """`points`: expert -> its hook point, for the experts with interventions."""
        self._module: Any = module
        self._base = base
        self._points = points
        self._editor = editor

    def forward(
        self,
        hidden: Float[Tensor, "token d_model"],
        routed: Int[Tensor, "token slot"],
        weights: Float[Tensor, "token slot"],
    ) -> Float[Tensor, "token d_model"]:
        """All experts' weighted sum for each token.

        Args:
            hidden: what enters the experts.
            routed: the experts of each token.
            weights: of those experts in the sum.
        """
        at = {e: self._editor.strengths_at(point, len(hidden)) for e, point in self._points.items()}
        active = {expert: strengths for expert, strengths in at.items() if strengths is not None}
        if not active:
            return self._base(self._module, hidden, routed, weights)
        hits = [s.touched & (routed == expert).any(1, keepdim=True) for expert, s in active.items()]
        tokens = torch.cat(hits, 1).any(1).nonzero().flatten()
        if not len(tokens):
            return self._base(self._module, hidden, routed, weights)
        here = {expert: select_rows(strengths, tokens) for expert, strengths in active.items()}
        edited = self._edited(hidden[tokens], routed[tokens], weights[tokens], here)
        if len(tokens) == len(hidden):
            return edited
        return self._base(self._module, hidden, routed, weights).index_copy(0, tokens, edited)

    def _edited(self, hidden: Tensor, routed: Tensor, weights: Tensor, active: dict[int, HookStrengths]) -> Tensor:
        slots = routed.shape[1]
        pairs = routed.flatten()
        places, pieces = [], []
        for expert in torch.unique(pairs).tolist():
            place = (pairs == expert).nonzero().flatten()
            rows = place // slots
            z = self._activations(expert, hidden[rows])
            if expert in active:
                z = self._editor.edit(self._points[expert], z, select_rows(active[expert], rows))
            places.append(place)
            pieces.append(self._project(expert, z))
        outputs = torch.cat(pieces)[torch.cat(places).argsort()]
        weighted = outputs * weights.flatten()[:, None]
        return torch.unflatten(weighted, 0, (-1, slots)).sum(1).to(hidden.dtype)

    def _activations(self, expert: int, hidden: Tensor) -> Tensor:
        module = self._module
        if module.has_gate:
            gated: Tensor = module._apply_gate(self._linear("gate_up_proj", expert, hidden))
            return gated
        activated: Tensor = module.act_fn(self._linear("up_proj", expert, hidden))
        return activated

    def _project(self, expert: int, z: Tensor) -> Tensor:
        out = self._linear("down_proj", expert, z)
        if self._module.has_post_expert_norm:
            normed: Tensor = self._module.post_expert_norm(out)
            return normed
        return out

    def _linear(self, name: str, expert: int, x: Tensor) -> Tensor:
        weight: Tensor = getattr(self._module, name)[expert]
        out = x @ (weight if self._module.is_transposed else weight.T)
        return out + getattr(self._module, f"{name}_bias")[expert] if self._module.has_bias else out


def select_rows(strengths: HookStrengths, rows: Int[Tensor, " row"]) -> HookStrengths:
    """Strengths by token -> by row of an expert's batch; a token may be in several rows or none."""
    return HookStrengths(
        touched=strengths.touched[rows],
        all_touched=strengths.all_touched,
        keep=None if strengths.keep is None else strengths.keep[rows],
        rows=None if strengths.rows is None else strengths.rows[rows],
        shift=None if strengths.shift is None else strengths.shift[rows],
    )


@contextmanager
def edited_experts(
    model: PreTrainedModel, sites: ModelSites, points: Iterable[HookPoint], editor: PointEditor
) -> Iterator[None]:
    """Compute the experts of all layers that have any here; everything is as it was on leaving.

    Args:
        model: the model that `sites` is of.
        sites: where its experts are.
        points: hook points of experts that have interventions.
        editor: the run time.

    Raises:
        RuntimeAttachError: another bank edits these experts, or the model does not let their implementation be
            chosen.
    """
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, ExpertsInterface

    by_layer: dict[int, dict[int, HookPoint]] = {layer: {} for layer in sites.experts}
    for point in points:
        by_layer[point.layer][cast(int, point.expert)] = point
    if any(hasattr(experts.module, _EDITOR) for experts in sites.experts.values()):
        raise RuntimeAttachError(f"another bank is attached to the experts of this {type(model).__name__}")
    before = model.get_experts_implementation()
    ExpertsInterface.register(EXPERTS_NAME, _forward)
    try:
        for layer, experts in sites.experts.items():
            module: Any = experts.module
            own = inspect.unwrap(type(module).forward)
            base = ALL_EXPERTS_FUNCTIONS.get_interface(module.config._experts_implementation, own)
            setattr(module, _EDITOR, LayerEditor(module, base, by_layer[layer], editor))
        model.set_experts_implementation(EXPERTS_NAME)
        _check_taken(model, sites)
        yield
    finally:
        model.set_experts_implementation(before)
        for experts in sites.experts.values():
            if hasattr(experts.module, _EDITOR):
                delattr(experts.module, _EDITOR)


def _check_taken(model: PreTrainedModel, sites: ModelSites) -> None:
    for layer, experts in sites.experts.items():
        found = getattr(experts.module, "config")._experts_implementation  # noqa: B009 - Any to mypy
        if found != EXPERTS_NAME:
            name = type(model).__name__
            raise RuntimeAttachError(f"{name}: experts of layer {layer} run as {found!r}; wanted {EXPERTS_NAME!r}")


def _forward(module: nn.Module, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """What experts modules call; its signature is transformers'."""
    editor = getattr(module, _EDITOR, None)
    if editor is None:
        raise RuntimeAttachError(f"{type(module).__name__} runs as {EXPERTS_NAME!r} without an attached bank")
    out: Tensor = editor.forward(hidden_states, top_k_index, top_k_weights)
    return out
