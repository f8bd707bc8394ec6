"""The engine's thread: step after step until told to stop. It never dies silently."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from server.engines.base import EngineError, EngineUnavailableError, RequestFailedError
from server.engines.embedded.banks import Banks
from server.engines.embedded.executor import Executor
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.replies import News, ReplyReader, deliver
from server.engines.embedded.scheduler import Scheduler
from server.engines.embedded.sequence import RunningRequest
from server.engines.embedded.stepper import Outcome, Stepper

logger = logging.getLogger(__name__)


@runtime_checkable
class StepWatcher(Protocol):
    """Hears of the steps, on the engine's thread; must not wait."""

    def before_step(self, running: Sequence[RunningRequest]) -> None:
        """These requests hold the slots of the step that begins now; none where there is nothing to do."""
        ...

    def after_step(self, running: Sequence[RunningRequest], steps: int) -> None:
        """These still hold one, after so many steps; their readers hear of the step after this call."""
        ...

    def ended(self, reason: str) -> None:
        """No step will follow; all readers have been told."""
        ...


class StepLoop:
    """Owns the scheduler, the model and the cache while it runs; everyone else talks to the mailbox."""

    def __init__(
        self,
        mailbox: Mailbox,
        scheduler: Scheduler,
        stepper: Stepper,
        executor: Executor,
        banks: Banks,
        *,
        threads: int,
        watcher: StepWatcher | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._scheduler = scheduler
        self._stepper = stepper
        self._executor = executor
        self._banks = banks
        self._threads = threads
        self._watcher = watcher
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="scalpel-engine", daemon=True)
        self.steps = 0

    @property
    def alive(self) -> bool:
        """Whether steps are being taken."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, and open the mailbox."""
        self._mailbox.open()
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Accept no more, let accepted requests finish for a while, fail the rest; blocks until all is done."""
        self._deadline = time.monotonic() + drain_seconds
        self._mailbox.close("the engine is stopped")
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        reason = "the engine was stopped before the reply was finished"
        try:
            torch.set_num_threads(self._threads)
            with torch.inference_mode(), self._executor.installed():
                while self._mailbox.wait() and not self._overdue():
                    while (job := self._mailbox.take_job()) is not None:
                        job.run()
                    self._step()
                    self._let_go()
        except BaseException as error:
            reason = f"the engine died: {type(error).__name__}: {error}"
            logger.critical("the engine's loop died", exc_info=error)
        finally:
            self._mailbox.close(reason)
            self._abandon(reason)
            if self._watcher is not None:
                self._watcher.ended(reason)

    def _overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _step(self) -> None:
        step = self._scheduler.next_step()
        if self._watcher is not None:
            self._watcher.before_step(self._scheduler.running)
        if not step.decode and not step.prefill:
            return
        news = [
            (o.assignment.request.reader, item) for o in self._stepper.run(step) if (item := _news(o)) is not None
        ]
        self.steps += 1
        try:
            # Before readers hear of it, so that a reply that is over holds no slot.
            self._scheduler.settle(step)
        finally:
            if self._watcher is not None:
                self._watcher.after_step(self._scheduler.running, self.steps)
            for reader in deliver(news):
                self._cancel(reader)

    def _let_go(self) -> None:
        """Detach a retired bank once no running request uses it: nothing else holds its memory."""
        runtime = self._executor.runtime
        if runtime is None or not self._banks.is_retired(runtime):
            return
        if all(request.bank.runtime is not runtime for request in self._scheduler.running):
            self._executor.let_go(runtime)

    def _cancel(self, reader: ReplyReader) -> None:
        for request in self._scheduler.running:
            if request.reader is reader:
                request.cancelled = True

    def _abandon(self, reason: str) -> None:
        left = [*self._scheduler.running, *self._mailbox.drain()]
        while (job := self._mailbox.take_job()) is not None:
            job.refuse(reason)
        deliver((request.reader, EngineUnavailableError(reason)) for request in left if not request.finished)


def _news(outcome: Outcome) -> News | None:
    """What a request's reader hears of a step."""
    request = outcome.assignment.request
    if outcome.error is not None:
        request.fail()
        return outcome.error
    if outcome.choice is None:
        return None
    try:
        return request.accept(outcome.choice)
    except EngineError as error:
        request.fail()
        return error
    except Exception as error:
        logger.warning("request %s failed after sampling", request.request.request_id, exc_info=error)
        request.fail()
        return RequestFailedError(f"the reply could not be decoded: {type(error).__name__}: {error}")
