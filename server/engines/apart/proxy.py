"""The engine that the server talks to while the real one runs in the child."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import count

from breakers.bank import BankEntry
from server.engines.apart.bundles import wire_entry
from server.engines.apart.calls import Calls
from server.engines.apart.connection import Connection
from server.engines.apart.errors import EngineProcessError, ProtocolError
from server.engines.apart.logs import log_again
from server.engines.apart.messages import (
    Answer,
    Beat,
    Bundle,
    Cancel,
    Check,
    Ended,
    LoadBundles,
    Log,
    News,
    RetireBundles,
    Start,
    Stop,
    Stopped,
    Submit,
    frame,
    read_telling,
)
from server.engines.apart.process import EngineProcess
from server.engines.apart.requests import wire_request
from server.engines.apart.slots import SlotLedger
from server.engines.base import (
    ChatTokenizer,
    EngineInfo,
    EngineStats,
    EngineUnavailableError,
    GenerationChunk,
    GenerationRequest,
    RequestRefusedError,
)
from server.engines.checks import Canary, CheckResult
from server.engines.embedded.replies import ReplyStream
from server.engines.limits import check_request

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
SILENT_WATCHES = 30
"""So many looks in a row without a sign of life, and the child is taken for hung. Looks are counted and not seconds:
while this process is suspended it cannot know what the child did."""
STOP_SECONDS = 30.0
"""For the child to stop, beside the time that it lets requests go on."""


class ApartEngine:
    """An `Engine` on another process. Belongs to the event loop that starts it; any thread may ask for `stats`."""

    def __init__(
        self,
        process: EngineProcess,
        info: EngineInfo,
        tokenizer: ChatTokenizer,
        *,
        queue_size: int,
        drain_seconds: float,
    ) -> None:
        """`process` has built the engine that `info` is of."""
        self._process = process
        self._info = info
        self._tokenizer = tokenizer
        self._drain_seconds = drain_seconds
        self._slots = SlotLedger(slots=info.slots, queue_size=queue_size)
        self._steps = 0
        self._numbers = count(1)
        self._streams: dict[int, ReplyStream] = {}
        self._calls = Calls()
        self._connection = Connection(
            process.end, process.frames, receive=self._receive, ended=self._lost, most_waiting=0
        )
        self._closed: str | None = "the engine has not been started"
        self._alive = False
        self._stopped = asyncio.Event()
        self._silent = 0
        self._watching: asyncio.TimerHandle | None = None
        self._burying: asyncio.Task[object] | None = None

    @property
    def info(self) -> EngineInfo:
        """What runs."""
        return self._info

    @property
    def tokenizer(self) -> ChatTokenizer:
        """The model's tokenizer; in this process."""
        return self._tokenizer

    @property
    def healthy(self) -> bool:
        """Whether the child takes steps, as far as is known."""
        return self._alive

    def stats(self) -> EngineStats:
        """A snapshot, as of the last step that the child told of."""
        return EngineStats(running=self._slots.running, waiting=self._slots.waiting, steps=self._steps)

    async def start(self) -> None:
        """Start the step loop. An engine starts once."""
        self._connection.open()
        self._connection.send(frame(Start()))
        self._closed, self._alive = None, True
        self._watch()

    async def stop(self) -> None:
        """Accept no more, let accepted requests finish for `drain_seconds`, then end the child."""
        if self._alive:
            self._closed = self._closed or "the engine is stopped"
            self._connection.send(frame(Stop()))
            try:
                await asyncio.wait_for(self._stopped.wait(), self._drain_seconds + STOP_SECONDS)
            except TimeoutError:
                logger.error("the engine did not stop in time")
        if self._burying is not None:
            await self._burying
        self._abandon("the engine was stopped before the reply was finished")
        await asyncio.to_thread(self._process.close)

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        """Run one request; see `Engine.generate`."""
        return self._run(request)

    async def load_bundles(self, entries: Sequence[BankEntry]) -> int:
        """A new bank version beside the others; see `Engine.load_bundles`."""
        self._require()
        frames = await asyncio.to_thread(lambda: [frame(Bundle(entry=wire_entry(entry))) for entry in entries])
        self._require()
        call = self._calls.open()
        # Without a pause between them: they belong together.
        for bundle in frames:
            self._connection.send(bundle)
        self._connection.send(frame(LoadBundles(call=call, bundles=len(frames))))
        answer = await self._calls.answer(call, self._retire_unheard_of)
        if answer.version is None:
            raise ProtocolError("the engine loaded bundles and does not say under which version")
        return answer.version

    async def retire_bundles(self, version: int) -> None:
        """Let a bank version go; see `Engine.retire_bundles`."""
        await self._ask(lambda call: RetireBundles(call=call, version=version))

    async def selftest(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """Prove what every request relies on; see `Engine.selftest`."""
        return await self._check(canaries, bank_version, whole=True)

    async def check_canaries(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """Whether bundles act as declared; see `Engine.check_canaries`."""
        return await self._check(canaries, bank_version, whole=False)

    async def _check(self, canaries: Sequence[Canary], version: int, *, whole: bool) -> tuple[CheckResult, ...]:
        checked = tuple(canaries)
        answer = await self._ask(lambda call: Check(call=call, canaries=checked, bank_version=version, whole=whole))
        return answer.results

    async def _ask(self, order: Callable[[int], RetireBundles | Check]) -> Answer:
        self._require()
        call = self._calls.open()
        self._connection.send(frame(order(call)))
        return await self._calls.answer(call)

    def _retire_unheard_of(self, answer: Answer) -> None:
        """Nobody heard of a new version's number, so nobody could retire it."""
        if answer.version is not None and self._closed is None:
            self._connection.send(frame(RetireBundles(call=0, version=answer.version)))

    async def _run(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        # The engine checks it again; what passes here can be sent.
        check_request(request, max_model_len=self._info.max_model_len, vocab=self._info.vocab)
        stream = ReplyStream()
        number = self._submit(request, stream)
        try:
            while True:
                chunk = await stream.next()
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            self._withdraw(number)

    def _submit(self, request: GenerationRequest, stream: ReplyStream) -> int:
        self._require()
        number = next(self._numbers)
        try:
            order = frame(Submit(number=number, request=wire_request(request)))
        except (UnicodeEncodeError, OverflowError) as error:
            raise RequestRefusedError(f"the request cannot be sent to the engine: {error}") from error
        self._slots.submit(number)
        self._streams[number] = stream
        self._connection.send(order)
        return number

    def _withdraw(self, number: int) -> None:
        """Cancel a request that is not over."""
        if self._streams.pop(number, None) is not None:
            self._slots.drop(number)
            self._connection.send(frame(Cancel(number=number)))

    def _require(self) -> None:
        if self._closed is not None:
            raise EngineUnavailableError(self._closed)

    def _receive(self, data: bytes) -> None:
        self._silent = 0
        told = read_telling(data)
        match told:
            case News():
                self._take(told)
            case Answer():
                self._calls.answered(told)
            case Beat():
                pass
            case Log():
                log_again(told)
            case Ended():
                self._end(told.reason)
            case Stopped():
                self._stopped.set()
            case _:
                raise ProtocolError(f"the engine says {type(told).__name__} while it runs")

    def _take(self, news: News) -> None:
        if news.steps:
            self._steps = news.steps
        # Before readers hear of it, so that a reply that is over holds no slot.
        self._slots.note(news.started, news.freed)
        for number, chunk in news.chunks:
            # Those that nobody waits for were on their way when they were cancelled.
            stream = self._streams.get(number)
            if stream is not None:
                if chunk.finish_reason is not None:
                    del self._streams[number]
                stream.put(chunk)
        for number, failure in news.failures:
            self._slots.drop(number)
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.put(failure.engine_error())

    def _watch(self) -> None:
        if not self._alive:
            return
        if self._silent >= SILENT_WATCHES:
            self._process.kill()
            self._lost(EngineProcessError(f"it gave no sign of life for {SILENT_WATCHES * WATCH_SECONDS:g} s"))
            return
        self._silent += 1
        self._watching = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)

    def _lost(self, error: EngineProcessError) -> None:
        """The connection ended, or must not go on. Whoever waits is told once it is known how the child ended."""
        if self._burying is not None:
            return
        expected = self._closed is not None
        self._closed = self._closed or "the engine's process has ended"
        self._alive = False
        self._connection.close()
        if isinstance(error, ProtocolError):
            self._process.kill()
        self._burying = asyncio.get_running_loop().create_task(self._bury(error, expected=expected))

    async def _bury(self, error: EngineProcessError, *, expected: bool) -> None:
        reason = f"{await asyncio.to_thread(self._process.close)} ({error})"
        if not expected:
            logger.critical("%s%s", reason, self._process.last_lines)
            self._closed = reason
        self._abandon(reason)

    def _end(self, reason: str) -> None:
        """The engine's loop is over."""
        if self._closed is None:
            self._closed = reason
            self._abandon(reason)
            self._burying = asyncio.get_running_loop().create_task(asyncio.to_thread(self._process.close))

    def _abandon(self, reason: str) -> None:
        self._alive = False
        self._connection.close()
        if self._watching is not None:
            self._watching.cancel()
        self._slots.clear()
        self._stopped.set()
        self._calls.end(reason)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            # Each its own: one that is raised in several places collects the tracebacks of all.
            stream.put(EngineUnavailableError(reason))
