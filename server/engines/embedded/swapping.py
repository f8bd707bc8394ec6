"""Loading and retiring versions of the bank while requests run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future

from transformers import PreTrainedModel

from breakers.bank import Bank, BankEntry
from server.engines.embedded.banks import Banks, LoadedBank, Packing
from server.engines.embedded.executor import Executor
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.runtime import EngineRuntime
from server.engines.embedded.scheduler import Scheduler
from server.engines.embedded.selfcheck import rows_are_independent

logger = logging.getLogger(__name__)


class BankSwapper:
    """Compiles off the engine's thread; registers and retires on it, between two steps."""

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        first: LoadedBank,
        banks: Banks,
        executor: Executor,
        scheduler: Scheduler,
        mailbox: Mailbox,
        decode: tuple[int, int],
    ) -> None:
        """Prepare.

        Args:
            model: what the banks act on.
            first: the version loaded at the start; later ones get its device, precision and kind of packing.
            banks: where versions are registered.
            executor: attaches them.
            scheduler: knows who uses which.
            mailbox: the way to the engine's thread.
            decode: slots, and rows of a deterministic decode forward.
        """
        self._model = model
        self._sites, self._device, self._dtype = first.bank.sites, first.bank.device, first.bank.dtype
        self._deterministic = first.packing is not Packing.TOGETHER
        self._banks = banks
        self._executor = executor
        self._scheduler = scheduler
        self._mailbox = mailbox
        self._slots, self._rows = decode

    async def load(self, entries: Sequence[BankEntry]) -> int:
        """A new version; see `Engine.load_bundles`."""
        bank = await asyncio.to_thread(
            Bank,
            self._sites,
            tuple(entries),
            device=self._device,
            dtype=self._dtype,
            for_serving=True,
        )
        registered = self._mailbox.call(lambda: self._register(bank))
        try:
            return await asyncio.wrap_future(registered)
        except asyncio.CancelledError:
            # Nobody will hear of its number, so nobody could retire it.
            registered.add_done_callback(self._retire_unheard_of)
            raise

    async def retire(self, version: int) -> None:
        """Let a version go; see `Engine.retire_bundles`."""
        await asyncio.wrap_future(self._mailbox.call(lambda: self._retire(version)))

    def _register(self, bank: Bank) -> int:
        runtime = EngineRuntime(self._model, bank)
        loaded = LoadedBank(self._banks.next_version(), runtime, slots=self._executor.cache.scratch + 1)
        try:
            # What cannot be attached, or raises when it acts, is found out here and not by a request.
            self._executor.use(runtime)
            if self._deterministic:
                loaded.packing = self._packing(loaded)
        except BaseException:
            self._executor.let_go(runtime)
            raise
        self._banks.add(loaded)
        logger.info("bank version %d loaded: %s", loaded.version, ", ".join(bank.names) or "no bundles")
        return loaded.version

    def _packing(self, loaded: LoadedBank) -> Packing:
        """Whether this bank's products, too, keep rows apart; in a cache of its own, since requests use the other."""
        independent = rows_are_independent(
            self._executor,
            loaded.table,
            slots=self._slots,
            rows=self._rows,
            cache=self._executor.cache.alike(slots=self._slots, max_length=1),
        )
        return Packing.PADDED if independent else Packing.APART

    def _retire(self, version: int) -> None:
        bank = self._banks.retire(version)
        self._scheduler.forget(bank)
        logger.info("bank version %d retired", version)

    def _retire_unheard_of(self, registered: Future[int]) -> None:
        if not registered.cancelled() and registered.exception() is None:
            version = registered.result()
            self._mailbox.call(lambda: self._retire(version))
