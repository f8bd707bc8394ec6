"""Strengths of the tokens of a step: one row a token, for the rows of all hook points.

A steered request has two rows in a table, before and from its generation_start on; filling the buffer that the
model reads is one look-up in that table. A decode step of the same requests as the step before needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from breakers.bank import Bank, Scope
from breakers.errors import RuntimeAttachError
from breakers.sites import HookPoint
from breakers.vllm_plugin.catalogue import AdmittedPlan

_FIRST_SLOTS = 64


class RowLayout:
    """Where each hook point's rows are among those of all hook points."""

    def __init__(self, bank: Bank) -> None:
        """Lay out a bank's hook points one after the other."""
        self.offsets: dict[HookPoint, int] = {}
        columns: list[Tensor] = []
        for point, hook in bank.points.items():
            self.offsets[point] = sum(len(c) for c in columns)
            columns += [hook.row_columns, hook.vector_columns, hook.prune_columns]
        self._columns: Int[Tensor, " row"] = torch.cat(columns).cpu()
        scopes = torch.tensor([entry.scope is Scope.GENERATION for entry in bank.entries], dtype=torch.bool)
        self._generation_only: Bool[Tensor, " row"] = scopes[self._columns]

    @property
    def total(self) -> int:
        """Rows of all hook points."""
        return len(self._columns)

    def rows(self, strengths: Float[Tensor, " bundle"]) -> Float[Tensor, "2 row"]:
        """Strengths by bundle -> by row, before and from generation_start on."""
        after = strengths[self._columns]
        return torch.stack([after.masked_fill(self._generation_only, 0.0), after])


class _Step(NamedTuple):
    """Of requests that each decode one token: equal steps need equal rows."""

    version: int
    slots: tuple[int, ...]


class RequestRows:
    """The rows of all requests of a model runner, and the buffer that its model reads."""

    def __init__(self, bank: Bank, *, tokens: int) -> None:
        """Prepare for steps of up to `tokens` tokens."""
        self.layout = RowLayout(bank)
        self._bank = bank
        self.buffer: Float[Tensor, "token row"] = torch.zeros(
            tokens, self.layout.total, device=bank.device, dtype=bank.dtype
        )
        self._filled = 0
        """Rows of the buffer that may hold a strength."""
        self._last: _Step | None = None
        self._version = 0
        self._slots: dict[str, int] = {}
        """Request -> slot; slot 0 is that of all requests without a plan."""
        self._free: list[int] = []
        self._starts = np.zeros(1, dtype=np.int64)
        self._table: Float[Tensor, "slot_rows row"] = self.buffer.new_zeros(2, self.layout.total)
        self._grow(_FIRST_SLOTS)

    @property
    def steered(self) -> int:
        """Requests that hold a slot."""
        return sum(slot != 0 for slot in self._slots.values())

    def assign(self, request_id: str, plan: AdmittedPlan | None) -> None:
        """Take a request on; again, after a preemption, with the same plan."""
        self.release(request_id)
        self._slots[request_id] = 0 if plan is None else self._place(plan)

    def release(self, request_id: str) -> None:
        """Let a request go, if it is known."""
        slot = self._slots.pop(request_id, 0)
        if slot:
            self._free.append(slot)
            self._version += 1

    def knows_any(self, request_ids: Sequence[str]) -> bool:
        """Whether any of these was taken on: a run-time's warm-up batches are of none."""
        return any(request in self._slots for request in request_ids)

    def fill(
        self,
        request_ids: Sequence[str],
        scheduled: Int[np.ndarray, " request"],
        computed: Int[np.ndarray, " request"],
    ) -> None:
        """Set the strengths of a step's tokens, packed in this order.

        Args:
            request_ids: of the step.
            scheduled: tokens of each.
            computed: tokens of each that were processed before: the position of its first one here.

        Raises:
            RuntimeAttachError: a request was never taken on.
        """
        slots = self._slots_of(request_ids)
        if not any(slots):
            self.clear()
            return
        indices = np.array(slots)
        starts = self._starts[indices]
        step = _Step(self._version, slots) if _is_steady(scheduled, computed, starts) else None
        if step is None or step != self._last:
            self._gather(indices, starts, scheduled, computed)
            self._last = step

    def clear(self) -> None:
        """Set all strengths to 0."""
        if self._filled:
            self.buffer[: self._filled].zero_()
        self._filled = 0
        self._last = None

    def _gather(self, slots: np.ndarray, starts: np.ndarray, scheduled: np.ndarray, computed: np.ndarray) -> None:
        ends = np.cumsum(scheduled)
        tokens = int(ends[-1])
        positions = np.arange(tokens) + np.repeat(computed - (ends - scheduled), scheduled)
        rows = np.repeat(2 * slots, scheduled) + (positions >= np.repeat(starts, scheduled))
        torch.index_select(self._table, 0, self._on_device(rows), out=self.buffer[:tokens])
        if tokens < self._filled:
            self.buffer[tokens : self._filled].zero_()
        self._filled = tokens

    def _on_device(self, rows: np.ndarray) -> Tensor:
        index = torch.from_numpy(rows)
        # Pinned, so that the copy waits for nothing; its memory is not used again before the copy is done.
        return index.pin_memory().to(self.buffer.device, non_blocking=True) if self.buffer.is_cuda else index

    def _slots_of(self, request_ids: Sequence[str]) -> tuple[int, ...]:
        try:
            return tuple([self._slots[request] for request in request_ids])
        except KeyError as error:
            raise RuntimeAttachError(f"request {error} runs, but the plugin never saw it begin") from error

    def _place(self, plan: AdmittedPlan) -> int:
        rows = self.layout.rows(self._bank.row(plan.strengths))
        if not self._free:
            self._grow(2 * len(self._starts))
        slot = self._free.pop()
        self._version += 1
        self._table[2 * slot : 2 * slot + 2] = rows.to(self._table.device, self._table.dtype)
        self._starts[slot] = plan.generation_start
        return slot

    def _grow(self, slots: int) -> None:
        """The table is no tensor of the model's: nothing that was captured reads it."""
        added = slots - len(self._starts)
        self._free += range(slots - 1, len(self._starts) - 1, -1)
        self._starts = np.concatenate([self._starts, np.zeros(added, dtype=np.int64)])
        self._table = torch.cat([self._table, self._table.new_zeros(2 * added, self.layout.total)])


def _is_steady(scheduled: np.ndarray, computed: np.ndarray, starts: np.ndarray) -> bool:
    return int(scheduled.max()) == 1 and bool((computed >= starts).all())
