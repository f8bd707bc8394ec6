"""One end of the socket between the two processes, on an event loop. Sending never waits, from whatever thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable

from server.engines.apart.errors import EngineProcessError, ProtocolError
from server.engines.apart.frames import FrameReader

logger = logging.getLogger(__name__)

_RECEIVE = 256 * 1024
"""Bytes that are asked for at once."""


class Connection:
    """Reads messages on the event loop that `open` is called on, and writes from any thread.

    What the socket does not take at once waits here, and goes out from the event loop. So that a peer that does not
    read cannot make it grow for ever, there is a limit for what may wait; only what must not be lost may exceed it.
    """

    def __init__(
        self,
        end: socket.socket,
        frames: FrameReader,
        *,
        receive: Callable[[bytes], None],
        ended: Callable[[EngineProcessError], None],
        most_waiting: int,
    ) -> None:
        """Prepare.

        Args:
            end: of the pair.
            frames: cuts what comes into messages; may hold the beginning of one.
            receive: called with each message; what it raises ends the connection.
            ended: called once when nothing more will come, with a `ProtocolError` where that is because of what came;
                not by `close`.
            most_waiting: bytes that may wait before messages that can be lost are.
        """
        self._end = end
        self._frames = frames
        self._receive = receive
        self._ended = ended
        self._most_waiting = most_waiting
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._closed = False

    def open(self) -> None:
        """Begin to read, on the running event loop."""
        self._end.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._readable)

    def close(self) -> None:
        """Read and write no more. What waits is lost. On the event loop's thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._end)
            self._loop.remove_writer(self._end)

    def send(self, frame: bytearray, *, can_be_lost: bool = False) -> bool:
        """Write a message.

        Args:
            frame: the message with its length; not to be changed afterwards.
            can_be_lost: whether it may be dropped where the other side does not read.

        Returns:
            False where it was dropped. Where there is no other side any more it is dropped too, but `ended` says so.
        """
        with self._lock:
            if self._closed:
                return True
            if can_be_lost and self._waiting_bytes + len(frame) > self._most_waiting:
                return False
            rest = memoryview(frame)
            if not self._waiting:
                rest = rest[self._write(rest) :]
            if rest:
                if not self._waiting:
                    self._flush_later()
                self._waiting.append(rest)
                self._waiting_bytes += len(rest)
        return True

    async def flushed(self) -> None:
        """Wait until nothing waits."""
        while self._waiting and not self._closed:
            await asyncio.sleep(0.005)

    def _write(self, data: memoryview) -> int:
        """As much as fits now."""
        try:
            return self._end.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            # The reader finds out why.
            return len(data)

    def _flush_later(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._watch_for_room)

    def _watch_for_room(self) -> None:
        if self._loop is not None and not self._closed:
            self._loop.add_writer(self._end, self._writable)

    def _writable(self) -> None:
        with self._lock:
            while self._waiting:
                data = self._waiting[0]
                count = self._write(data)
                self._waiting_bytes -= count
                if count < len(data):
                    self._waiting[0] = data[count:]
                    return
                self._waiting.popleft()
            if self._loop is not None:
                self._loop.remove_writer(self._end)

    def _readable(self) -> None:
        try:
            data = self._end.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(EngineProcessError(f"the connection broke: {error.strerror}"))
            return
        if not data:
            self._finish(EngineProcessError("the connection was closed"))
            return
        try:
            for message in self._frames.feed(data):
                self._receive(message)
                if self._closed:
                    return
        except ProtocolError as error:
            self._finish(error)
        except Exception as error:
            logger.exception("a message could not be taken")
            self._finish(ProtocolError(f"a message could not be taken: {type(error).__name__}: {error}"))

    def _finish(self, error: EngineProcessError) -> None:
        self.close()
        self._ended(error)
