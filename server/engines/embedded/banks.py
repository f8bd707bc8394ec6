"""Versions of the bank: each loaded set of bundles with all that belongs to it, from its loading to its last request.

Requests hold the version that their plan refers to, so a version that nobody can name any more lives exactly as long
as the last of them. Registering and retiring happen on the engine's thread, between two steps; looking up, anywhere.
"""

from __future__ import annotations

from enum import StrEnum
from weakref import WeakSet

from breakers.bank import Bank, StrengthTable
from breakers.runtime import TorchRuntime
from server.engines.base import RequestFailedError, UnknownBankError


class Packing(StrEnum):
    """How the requests of a step share forwards."""

    TOGETHER = "together"
    """One forward for all; results differ in the last bits from batch to batch."""
    PADDED = "padded"
    """Deterministic: decode rows share one forward of fixed shape, each prefill chunk has its own."""
    APART = "apart"
    """Deterministic: every request has its own forward."""


class LoadedBank:
    """One version."""

    def __init__(
        self, version: int, runtime: TorchRuntime, *, slots: int, packing: Packing = Packing.TOGETHER
    ) -> None:
        """Prepare.

        Args:
            version: what requests call it; never used again for another set.
            runtime: of its bank, on the engine's model.
            slots: of the cache, scratch included.
            packing: how its requests share forwards, which its products' shapes may decide.
        """
        self.version = version
        self.runtime = runtime
        self.packing = packing
        self.table = StrengthTable(runtime.bank, slots)
        self.scopes = {entry.name: entry.scope for entry in runtime.bank.entries}
        self.retired = False
        """Whether no new request can name it."""

    @property
    def bank(self) -> Bank:
        """The compiled bundles."""
        return self.runtime.bank


class Banks:
    """The versions that requests can name."""

    def __init__(self, first: LoadedBank) -> None:
        self._by_version = {first.version: first}
        self._next = first.version + 1
        self._retired: WeakSet[TorchRuntime] = WeakSet()

    def of_request(self, version: int) -> LoadedBank:
        """The version that a request names.

        Raises:
            RequestFailedError: it is not loaded, or was retired; whoever planned the request is at fault.
        """
        found = self._by_version.get(version)
        if found is None:
            raise RequestFailedError(
                f"the request was planned with bank version {version}, which is not loaded; loaded: {self._known()}"
            )
        return found

    def of_check(self, version: int) -> LoadedBank:
        """The version that a check is about.

        Raises:
            UnknownBankError: it is not loaded.
        """
        found = self._by_version.get(version)
        if found is None:
            raise UnknownBankError(f"bank version {version} is not loaded; loaded: {self._known()}")
        return found

    def next_version(self) -> int:
        """A number that no version had."""
        self._next += 1
        return self._next - 1

    def add(self, bank: LoadedBank) -> None:
        """Let requests name it."""
        self._by_version[bank.version] = bank

    def retire(self, version: int) -> LoadedBank:
        """Let no more requests name it.

        Raises:
            UnknownBankError: it is not loaded.
        """
        found = self._by_version.pop(version, None)
        if found is None:
            raise UnknownBankError(f"bank version {version} is not loaded; loaded: {self._known()}")
        found.retired = True
        self._retired.add(found.runtime)
        return found

    def is_retired(self, runtime: TorchRuntime) -> bool:
        """Whether no request can name this run time's version any more."""
        return runtime in self._retired

    def _known(self) -> str:
        return ", ".join(str(version) for version in sorted(self._by_version)) or "none"
