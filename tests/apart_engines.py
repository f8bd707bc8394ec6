"""Engines in processes of their own, on tiny models; and a child that is only played."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer

from breakers.bank import BankEntry
from server.engines.apart.frames import LARGEST_NEWS, LARGEST_ORDER, FrameReader
from server.engines.apart.hosting import begin_loading, build_engine, loaded_fingerprint
from server.engines.apart.messages import Order, Telling, frame, read_order
from server.engines.apart.process import EngineProcess
from server.engines.apart.proxy import ApartEngine
from server.engines.apart.spawning import ChildProcess
from server.engines.base import EngineInfo
from server.engines.embedded import EmbeddedEngineConfig
from server.engines.embedded.tokenizer import HuggingFaceTokenizer


class KeptProcess(EngineProcess):
    """A child for one engine after the other: the end of an engine is not its own."""

    def close(self) -> str:
        return "the engine's process goes on"


def saved_tiny_model(model_type: str, directory: Path) -> Path:
    """`tiny_model` and its tokenizer in a directory, written once."""
    path = directory / model_type
    if not path.exists():
        tiny_model(model_type).save_pretrained(path)
        tiny_tokenizer().save_pretrained(path)
    return path


def engine_in(process: EngineProcess, directory: Path, **settings: object) -> ApartEngine:
    """An engine, not started, in a child that runs none."""
    process.end.setblocking(True)
    begin_loading(process, directory, dtype="float32")
    loaded_fingerprint(process)
    config = EmbeddedEngineConfig(model=directory, **{"drain_seconds": 0.0, "deterministic_chunk": 16} | settings)
    return build_engine(process, config, HuggingFaceTokenizer(tiny_tokenizer()))


class BuildsApart:
    """`build` as the contract suites want it; a fixture sets what it needs."""

    child: ChildProcess
    directory: Path

    def build(
        self, model_type: str, bundles: Sequence[BankEntry] = (), *, slots: int = 5, **settings: object
    ) -> ApartEngine:
        directory = saved_tiny_model(model_type, self.directory)
        return engine_in(KeptProcess(self.child), directory, bundles=tuple(bundles), slots=slots, **settings)


class PlayedChild:
    """Takes the place of a child: a test reads what it is told and says what it says."""

    def __init__(self) -> None:
        self.end, self.other = socket.socketpair()
        self.frames = FrameReader(LARGEST_NEWS)
        self._told = FrameReader(LARGEST_ORDER)
        self._orders: list[Order] = []
        self.killed = False
        self.last_lines = ""

    def close(self) -> str:
        self.end.close()
        return "the played process ended"

    def kill(self) -> None:
        self.killed = True

    def say(self, *messages: Telling) -> None:
        for message in messages:
            self.other.sendall(frame(message))

    async def told(self) -> Order:
        """What it is told next."""
        loop = asyncio.get_running_loop()
        self.other.setblocking(False)
        while not self._orders:
            data = await asyncio.wait_for(loop.sock_recv(self.other, 65536), 10)
            self._orders += [read_order(message) for message in self._told.feed(data)]
        return self._orders.pop(0)


PLAYED_INFO = EngineInfo(
    model_id="played",
    model_type="played",
    max_model_len=64,
    vocab=100,
    slots=1,
    device="cpu",
    dtype="float32",
    bundles=(),
)


def played_engine(child: PlayedChild, *, queue_size: int = 1) -> ApartEngine:
    """An engine on it, not started."""
    tokenizer = HuggingFaceTokenizer(tiny_tokenizer())
    return ApartEngine(child, PLAYED_INFO, tokenizer, queue_size=queue_size, drain_seconds=0.0)  # type: ignore[arg-type]
