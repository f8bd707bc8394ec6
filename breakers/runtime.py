"""The PyTorch run time: applies a bank to a Hugging Face model, as a context manager.

Leaves no hook behind, even after an error. A hook point that no token of a forward uses adds no tensor
operation, and a forward for which no strengths were declared, or that passed a hook point by, fails rather than
run unsteered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from breakers.bank import Bank, HookStrengths, Scope, TokenStrengths
from breakers.errors import RuntimeAttachError
from breakers.experts import edited_experts
from breakers.sites import Boundary, HookPoint

Observer = Callable[[HookPoint, Tensor, Tensor], None]


class TorchRuntime:
    """One bank on one model."""

    def __init__(self, model: PreTrainedModel, bank: Bank, observer: Observer | None = None) -> None:
        """Prepare; nothing is installed before `attached` or `steering`.

        Args:
            model: the model that `bank` was compiled for.
            bank: the loaded interventions.
            observer: called with (hook point, z, z') at each edit, both (token, width); for measurements.
        """
        self._model = model
        self.bank = bank
        self._observer = observer
        self._start: int | None = None
        self._strengths: TokenStrengths | None = None
        self._reached: set[HookPoint] = set()
        self._attached = False

    @contextmanager
    def attached(self) -> Iterator[TorchRuntime]:
        """Install the hooks; remove every one of them on leaving.

        Raises:
            RuntimeAttachError: already attached.
        """
        if self._attached:
            raise RuntimeAttachError("this bank is already attached to its model; leave the first context before")
        with ExitStack() as installed:
            routed = [point for point in self.bank.points if point.boundary is Boundary.EXPERT_DOWN_INPUT]
            if routed:
                installed.enter_context(edited_experts(self._model, self.bank.sites, routed, self))
            for point in self.bank.points:
                if point.boundary is not Boundary.EXPERT_DOWN_INPUT:
                    installed.callback(self._install(point).remove)
            self._attached = True
            try:
                yield self
            finally:
                self._attached = False
                self._strengths = None

    @contextmanager
    def forward_strengths(self, strengths: TokenStrengths) -> Iterator[None]:
        """Declare the strengths of the tokens of the forward inside, flattened in the order [batch, pos].

        Raises:
            RuntimeAttachError: not attached, or the forward did not come by every hook point that it should use.
        """
        if not self._attached:
            raise RuntimeAttachError("strengths were declared for a bank that is not attached")
        self._declare(strengths)
        try:
            yield
            self._check_reached()
        finally:
            self._strengths = None

    @contextmanager
    def steering(self, strengths: Mapping[str, float], generation_start: int | None = None) -> Iterator[TorchRuntime]:
        """Attach, and give every row of every forward inside (also within `generate`) the same strengths.

        Args:
            strengths: by bundle name; bundles that are not named have strength 0.
            generation_start: column from which bundles of scope `generation` act; by default the last column of
                the first forward, which is the last prompt token with and without left padding.

        Raises:
            PlanError: a bundle is not loaded, or a strength is out of range.
        """
        row = self.bank.row(strengths)
        self._start = generation_start
        generation_only = torch.tensor([e.scope is Scope.GENERATION for e in self.bank.entries], dtype=torch.bool)

        def declare(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            batch, columns = _input_shape(args, kwargs)
            past = _past_length(kwargs)
            if self._start is None:
                self._start = past + columns - 1
            early = torch.arange(past, past + columns) < self._start
            values = row.repeat(columns, 1).masked_fill(early[:, None] & generation_only[None, :], 0.0)
            self._declare(self.bank.token_strengths(values.repeat(batch, 1)))

        with self.attached(), ExitStack() as installed:
            before = self._model.register_forward_pre_hook(declare, with_kwargs=True)
            installed.callback(before.remove)
            after = self._model.register_forward_hook(lambda _module, _args, _output: self._check_reached())
            installed.callback(after.remove)
            yield self

    def restart(self) -> None:
        """Within `steering`: the next forward starts a new batch of prompts, with its own generation_start."""
        self._start = None

    def strengths_at(self, point: HookPoint, tokens: int) -> HookStrengths | None:
        """Strengths of this forward's tokens at a hook point; None where none of them uses it.

        Raises:
            RuntimeAttachError: none were declared, or for another number of tokens.
        """
        strengths = self._strengths
        if strengths is None:
            raise RuntimeAttachError("a forward ran on a model with an attached bank, but no strengths were declared")
        if point not in strengths.active:
            return None
        if tokens != len(strengths.values):
            raise RuntimeAttachError(f"{tokens} tokens at {point}, but strengths for {len(strengths.values)}")
        self._reached.add(point)
        return strengths.at(point, self.bank.points[point])

    def edit(
        self, point: HookPoint, z: Float[Tensor, "row width"], strengths: HookStrengths
    ) -> Float[Tensor, "row width"]:
        """z' at a hook point, for the rows that `strengths` is for."""
        edited = self.bank.points[point].apply(z, strengths)
        if self._observer is not None:
            self._observer(point, z, edited)
        return edited

    def _declare(self, strengths: TokenStrengths) -> None:
        self._strengths = strengths
        self._reached.clear()

    def _check_reached(self) -> None:
        if self._strengths is not None and not self._strengths.active <= self._reached:
            missed = ", ".join(str(point) for point in sorted(self._strengths.active - self._reached))
            raise RuntimeAttachError(f"the forward did not come by {missed}: its interventions were not applied")

    def _install(self, point: HookPoint) -> RemovableHandle:
        module = self.bank.sites.module(point)
        if point.boundary is Boundary.BLOCK_OUTPUT:
            return module.register_forward_hook(lambda _module, _args, output: self._edit_output(point, output))
        return module.register_forward_pre_hook(lambda _module, args: self._edit_input(point, args))

    def _edit_input(self, point: HookPoint, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        edited = self._edit(point, args[0])
        return None if edited is None else (edited, *args[1:])

    def _edit_output(self, point: HookPoint, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        edited = self._edit(point, hidden)
        if edited is None:
            return None
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    def _edit(self, point: HookPoint, activation: Tensor) -> Tensor | None:
        strengths = self.strengths_at(point, activation.shape[:-1].numel())
        if strengths is None:
            return None
        z = activation.reshape(-1, activation.shape[-1])
        return self.edit(point, z, strengths).reshape(activation.shape)


def _input_shape(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int]:
    for value in (kwargs.get("input_ids"), kwargs.get("inputs_embeds"), args[0] if args else None):
        if isinstance(value, Tensor):
            return int(value.shape[0]), int(value.shape[1])
    raise RuntimeAttachError("a forward without input_ids and without inputs_embeds cannot be steered")


def _past_length(kwargs: dict[str, Any]) -> int:
    past = kwargs.get("past_key_values")
    return 0 if past is None else int(past.get_seq_length())
