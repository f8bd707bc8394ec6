"""The run time of an engine's steps: edits of few tokens on one compute thread.

Dividing a product of some microseconds among threads takes longer than the product, and every edited layer has two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.bank import HookStrengths
from breakers.runtime import TorchRuntime
from breakers.sites import HookPoint

ALONE = 2**22
"""Multiplications of an edit up to which one thread does it: some tenths of a millisecond on one core."""


class EngineRuntime(TorchRuntime):
    """One bank on an engine's model."""

    def strengths_at(self, point: HookPoint, tokens: int) -> HookStrengths | None:
        """Strengths of this forward's tokens at a hook point; None where none of them uses it.

        Raises:
            RuntimeAttachError: none were declared, or for another number of tokens.
        """
        with self._threads_for(point, tokens):
            return super().strengths_at(point, tokens)

    def edit(
        self, point: HookPoint, z: Float[Tensor, "row width"], strengths: HookStrengths
    ) -> Float[Tensor, "row width"]:
        """z' at a hook point, for the rows that `strengths` is for."""
        with self._threads_for(point, len(z)):
            return super().edit(point, z, strengths)

    @contextmanager
    def _threads_for(self, point: HookPoint, tokens: int) -> Iterator[None]:
        """One compute thread inside, where `tokens` are few."""
        threads = torch.get_num_threads()
        large = tokens * self.bank.points[point].row_total * self.bank.sites.width(point) > ALONE
        if threads == 1 or large or self.bank.device.type != "cpu":
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
