"""The child's side: does what it is told, message by message, in order."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from breakers.bank import BankEntry
from breakers.errors import BreakersError
from server.engines.apart.bundles import read_entry
from server.engines.apart.carrier import NewsCarrier, WireReader
from server.engines.apart.errors import ProtocolError
from server.engines.apart.failures import Failure
from server.engines.apart.messages import (
    Answer,
    Beat,
    Build,
    Built,
    Bundle,
    Cancel,
    Check,
    Load,
    LoadBundles,
    Loaded,
    Order,
    Refused,
    RetireBundles,
    Start,
    Stop,
    Stopped,
    Submit,
    Telling,
    frame,
    read_order,
)
from server.engines.apart.requests import read_request
from server.engines.embedded import EmbeddedEngineConfig, EmbeddedLoadError, LoadedModel, load_model
from server.engines.embedded.engine import EmbeddedEngine

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
"""How often a child that runs says so."""


class Service:
    """One engine after the other, on an event loop."""

    def __init__(self, send: Callable[..., bool]) -> None:
        """`send` writes frames, from any thread."""
        self._send = send
        self._model: LoadedModel | None = None
        self._engine: EmbeddedEngine | None = None
        self._carrier = NewsCarrier(send)
        self._entries: list[BankEntry] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: asyncio.TimerHandle | None = None

    def receive(self, data: bytes) -> None:
        """Do what a message says, or begin to.

        Tasks begin in the order of the messages, so what a request needs of the engine it has before a later message
        changes it.

        Raises:
            ProtocolError: it is no message, or does not fit those before it.
        """
        self._obey(read_order(data))

    def _obey(self, order: Order) -> None:
        match order:
            case Submit():
                self._begin(self._submit(self._running_engine(), self._carrier.open(order.number), order))
            case Cancel():
                reader = self._carrier.cancel(order.number)
                if reader is not None and reader.running is not None:
                    self._running_engine().withdraw(reader.running)
            case Bundle():
                self._entries.append(_entry(order))
            case Load():
                self._attempt(lambda: self._load(order))
            case Build():
                entries = self._taken_entries(order.bundles)
                self._attempt(lambda: self._build(order.settings, entries))
            case Start():
                self._begin(self._running_engine().start())
                self._beat()
            case LoadBundles():
                self._call(order.call, self._load_bundles(order.call, self._taken_entries(order.bundles)))
            case RetireBundles():
                self._call(order.call, self._retire(order.call, order.version))
            case Check():
                self._call(order.call, self._check(order))
            case Stop():
                self._begin(self._stop(self._running_engine()))

    def _load(self, order: Load) -> Telling:
        from breakers.fingerprint import fingerprint_model

        # The one before goes first: there may be no room for two.
        self._model = self._engine = None
        gc.unfreeze()
        self._model = load_model(Path(order.directory), dtype=order.dtype)
        return Loaded(fingerprint=fingerprint_model(self._model.model))

    def _build(self, settings: dict[str, Any], entries: tuple[BankEntry, ...]) -> Telling:
        from server.engines.embedded.loading import load_embedded_engine

        if self._model is None:
            raise ProtocolError("an engine was to be made and no model was read")
        self._carrier = NewsCarrier(self._send)
        config = EmbeddedEngineConfig(model=self._model, bundles=entries, **settings)
        self._engine = load_embedded_engine(config, self._carrier)
        # What is loaded by now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        return Built(info=self._engine.info)

    def _attempt(self, work: Callable[[], Telling]) -> None:
        try:
            told = work()
        except ProtocolError:
            raise
        except Exception as error:
            if not isinstance(error, EmbeddedLoadError | BreakersError):
                logger.exception("no engine can be made")
            told = Refused(failure=Failure.of(error))
        self._tell(told)

    async def _submit(self, engine: EmbeddedEngine, reader: WireReader, order: Submit) -> None:
        try:
            running = await engine.admit(read_request(order.request), reader)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's end
            self._carrier.refuse(reader, error)
            return
        reader.running = running
        if reader.cancelled:
            engine.withdraw(running)

    async def _load_bundles(self, call: int, entries: tuple[BankEntry, ...]) -> Answer:
        return Answer(call=call, version=await self._running_engine().load_bundles(entries))

    async def _retire(self, call: int, version: int) -> Answer:
        await self._running_engine().retire_bundles(version)
        return Answer(call=call)

    async def _check(self, order: Check) -> Answer:
        engine = self._running_engine()
        check = engine.selftest if order.whole else engine.check_canaries
        return Answer(call=order.call, results=await check(order.canaries, order.bank_version))

    async def _stop(self, engine: EmbeddedEngine) -> None:
        await engine.stop()
        if self._beating is not None:
            self._beating.cancel()
        # Calls hear of the end too.
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        self._tell(Stopped())

    def _call(self, call: int, work: Coroutine[Any, Any, Answer]) -> None:
        self._begin(self._answer(call, work))

    async def _answer(self, call: int, work: Awaitable[Answer]) -> None:
        try:
            answer = await work
        except Exception as error:  # noqa: BLE001 - whoever called has to hear of it
            answer = Answer(call=call, failure=Failure.of(error))
        self._tell(answer)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _beat(self) -> None:
        self._tell(Beat())
        self._beating = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def _running_engine(self) -> EmbeddedEngine:
        if self._engine is None:
            raise ProtocolError("an engine was to work and none was made")
        return self._engine

    def _taken_entries(self, count: int) -> tuple[BankEntry, ...]:
        taken, self._entries = tuple(self._entries), []
        if len(taken) != count:
            raise ProtocolError(f"{len(taken)} bundles came; wanted {count}")
        return taken

    def _tell(self, message: Telling) -> None:
        self._send(frame(message))


def _entry(order: Bundle) -> BankEntry:
    try:
        return read_entry(order.entry)
    except (ValueError, KeyError, TypeError, RuntimeError, msgspec.MsgspecError) as error:
        raise ProtocolError(f"bundle {order.entry.name!r} cannot be read: {error}") from error
