"""Who runs in the next step, and in which slot.

Requests that decode hold the slots 0, 1, 2, ... without gaps, so that attention slices the cache and gathers
nothing. Behind them is at most one request whose prompt is partly processed: prompts are taken strictly one after
the other. When a request ends, the last decoding one moves into its slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.engines.embedded.banks import LoadedBank
from server.engines.embedded.batch import Work
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.prefix import PrefixCache
from server.engines.embedded.sequence import RunningRequest


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a step does for one request."""

    request: RunningRequest
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: decode rows in slot order, then prefill spans."""

    decode: tuple[Assignment, ...]
    prefill: tuple[Assignment, ...]


class Scheduler:
    """The slots and who is in them."""

    def __init__(
        self,
        mailbox: Mailbox,
        cache: SlotCache,
        prefixes: PrefixCache | None,
        *,
        slots: int,
        prefill_budget: int,
        fixed_chunk: int | None = None,
    ) -> None:
        """Share out `slots` and, each step, `prefill_budget` prompt tokens.

        Args:
            mailbox: where requests wait.
            cache: the slots' keys and values.
            prefixes: what earlier requests left; None for no reuse.
            slots: requests that run at once.
            prefill_budget: prompt tokens of a step.
            fixed_chunk: cut every prompt at multiples of this and count every piece as this long, so that where
                a prompt is cut does not depend on other requests; None to cut where the budget ends.
        """
        self._mailbox = mailbox
        self._cache = cache
        self._prefixes = prefixes
        self._slots = slots
        self._prefill_budget = prefill_budget
        self._fixed_chunk = fixed_chunk
        self.running: list[RunningRequest] = []
        """By slot."""
        self._decoding = 0
        """Slots 0 to this are decoding; at most one more is filling."""

    def next_step(self) -> Step:
        """Drop cancelled requests, admit waiting ones, and share out the token budget."""
        for request in [r for r in self.running if r.cancelled]:
            self.release(request)
        decode = tuple(Assignment(r, r.work(slot, 1)) for slot, r in enumerate(self.running[: self._decoding]))
        return Step(decode=decode, prefill=tuple(self._plan_prefill()))

    def settle(self, step: Step) -> None:
        """After a step's results are in: count in whom it made decode, and release whom it ended."""
        for assignment in step.prefill:
            if assignment.work.wants_logits:
                self._decoding += 1
                self._keep(assignment.request, assignment.work.slot)
        for assignment in (*step.decode, *step.prefill):
            if assignment.request.finished:
                self.release(assignment.request)

    def release(self, request: RunningRequest) -> None:
        """Free a request's slot and close the gap."""
        slot = self.running.index(request)
        if self._prefixes is not None and self._prefixes.replies and request.finished:
            self._keep(request, slot)
        self._cache.clear(slot, len(request.token_ids))
        request.bank.table.release(slot)
        if slot < self._decoding:
            self._decoding -= 1
            self._fill(slot, self._decoding)
            slot = self._decoding
        for behind in range(slot + 1, len(self.running)):
            self._fill(behind - 1, behind)
        self.running.pop()
        self._mailbox.released()

    def _plan_prefill(self) -> list[Assignment]:
        budget = self._prefill_budget
        planned: list[Assignment] = []
        slot = self._decoding
        while budget > 0 and slot < self._slots and (slot < len(self.running) or self._admit()):
            request = self.running[slot]
            self._reuse(request, slot)
            if self._is_being_computed(request, planned):
                break
            work = request.work(slot, self._fixed_chunk or budget)
            planned.append(Assignment(request, work))
            budget -= self._fixed_chunk or len(work.token_ids)
            if not work.wants_logits:
                break
            slot += 1
        return planned

    def _admit(self) -> bool:
        request = self._mailbox.take()
        if request is None:
            return False
        # In the list first: whatever fails from here on, those in the list hear of it.
        self.running.append(request)
        request.bank.table.assign(len(self.running) - 1, request.request.plan, request.generation_start)
        return True

    def _reuse(self, request: RunningRequest, slot: int) -> None:
        """Also for a prompt that is partly processed: one before it may have brought its beginning meanwhile."""
        if self._prefixes is not None:
            request.reuse(self._prefixes.restore(request.identity, request.reusable_prompt, slot, request.processed))

    def _is_being_computed(self, request: RunningRequest, planned: Sequence[Assignment]) -> bool:
        """Whether a prompt of this very step begins like this one: then waiting a step is cheaper than computing."""
        if self._prefixes is None:
            return False
        prompt = request.reusable_prompt
        return any(
            self._prefixes.common(a.request.identity, a.request.prompt, request.identity, prompt) > request.processed
            for a in planned
            if a.work.wants_logits
        )

    def forget(self, bank: LoadedBank) -> None:
        """Drop what a retired version of the bank left for later prompts: there are none."""
        if self._prefixes is not None:
            self._prefixes.forget(bank.version)

    def _keep(self, request: RunningRequest, slot: int) -> None:
        wanted = not request.bank.retired or request.identity.bank_version is None
        if self._prefixes is not None and not request.failed and wanted:
            self._prefixes.store(request.identity, request.processed_tokens, slot)

    def _fill(self, target: int, source: int) -> None:
        if target == source:
            return
        moved = self.running[source]
        self._cache.move(source, target, len(moved.token_ids))
        moved.bank.table.move(source, target)
        self.running[target] = moved
