"""One forward: a packed batch through the model, with the bank's strengths on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.bank import TokenStrengths
from breakers.errors import RuntimeAttachError
from breakers.runtime import TorchRuntime
from server.engines.embedded.attention import ATTENTION_NAME, register_attention
from server.engines.embedded.batch import PackedBatch
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.hooks import unhooked
from server.engines.embedded.linear import packed_linears


class Executor:
    """A model with the slot attention installed and one bank attached at a time."""

    def __init__(
        self, model: PreTrainedModel, cache: SlotCache, runtime: TorchRuntime | None, *, pack_weights: bool = False
    ) -> None:
        """Prepare; nothing is installed before `installed`.

        Args:
            model: runs as it is.
            cache: holds its keys and values.
            runtime: of the bank to begin with; None only for models without sites, which the self-check still has
                to judge.
            pack_weights: lay out the weights of linear layers for speed, where that pays (`linear`).
        """
        self.model = model
        self.cache = cache
        self.forwards = 0
        self._runtime = runtime
        self._pack_weights = pack_weights
        self._attachment = ExitStack()
        """Holds the bank while it is attached."""
        self._installed = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Route the model's attention through the slot cache and attach the bank; undo both on leaving."""
        register_attention()
        config = self.model.config
        before = {"": config._attn_implementation}
        # The parts of a vision model each have their own.
        before |= {part: getattr(config, part)._attn_implementation for part in config.sub_configs}
        self.model.set_attn_implementation(ATTENTION_NAME)
        packed = packed_linears(self.model) if self._pack_weights else nullcontext()
        try:
            with packed:
                self._installed = True
                self._attach()
                yield
        finally:
            self._installed = False
            self._attachment.close()
            self.model.set_attn_implementation(before)

    @property
    def runtime(self) -> TorchRuntime | None:
        """Of the bank that is attached, or will be once this is installed."""
        return self._runtime

    def use(self, runtime: TorchRuntime) -> None:
        """Attach this bank in place of the other; costs nothing where it is attached already.

        Raises:
            RuntimeAttachError: it cannot be attached; then none is.
        """
        if runtime is self._runtime:
            return
        self._detach()
        if self._installed:
            self._attachment.enter_context(runtime.attached())
        self._runtime = runtime

    def let_go(self, runtime: TorchRuntime) -> None:
        """Detach this bank, if it is attached, so that nothing here holds it."""
        if runtime is self._runtime:
            self._detach()

    @contextmanager
    def detached(self) -> Iterator[None]:
        """Within `installed`: no bank, and no other hook on the model either. For comparison: `forward` takes no
        strengths inside."""
        self._attachment.close()
        try:
            with unhooked(self.model):
                yield
        finally:
            self._attach()

    def _detach(self) -> None:
        self._runtime = None
        self._attachment.close()

    def idle_strengths(self, tokens: int) -> TokenStrengths | None:
        """Strength 0 for every token of a forward."""
        if self._runtime is None:
            return None
        return self._runtime.bank.idle_strengths(tokens)

    def forward(self, batch: PackedBatch, strengths: TokenStrengths | None) -> Float[Tensor, "row vocab"]:
        """Logits in float32 of the rows that want them. Running a batch again writes the same cache entries."""
        self.forwards += 1
        with self._steered(strengths):
            output = self.model(
                input_ids=batch.input_ids,
                position_ids=batch.positions[None],
                use_cache=False,
                logits_to_keep=batch.logit_rows,
                scalpel_batch=batch,
            )
        logits: Tensor = output.logits[0, : batch.logits_wanted]
        return logits.to(torch.float32)

    def _attach(self) -> None:
        if self._runtime is not None:
            self._attachment.enter_context(self._runtime.attached())

    def _steered(self, strengths: TokenStrengths | None) -> AbstractContextManager[None]:
        if strengths is None:
            return nullcontext()
        if self._runtime is None:
            raise RuntimeAttachError("strengths were declared for a forward while no bank is attached")
        return self._runtime.forward_strengths(strengths)
