"""The child as the parent speaks with it while it loads: by waiting for its answers."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from server.engines.apart.errors import EngineProcessError
from server.engines.apart.frames import LARGEST_NEWS, FrameReader
from server.engines.apart.logs import log_again
from server.engines.apart.messages import Ended, Log, Order, Refused, Telling, frame, read_telling
from server.engines.apart.spawning import ChildProcess

Wanted = TypeVar("Wanted", bound=Telling)


class EngineProcess:
    """A child, and messages with it until an event loop takes its socket over."""

    def __init__(self, child: ChildProcess) -> None:
        """`child` ends with `close`."""
        self.end = child.end
        self.frames = FrameReader(LARGEST_NEWS)
        self._child = child
        self._received: deque[Telling] = deque()

    def tell(self, order: Order) -> None:
        """Send a message; before an event loop has the socket.

        Raises:
            EngineProcessError: the child has ended.
        """
        try:
            self.end.sendall(frame(order))
        except OSError as error:
            raise self._ended() from error

    def wait_for(self, wanted: type[Wanted]) -> Wanted:
        """The next message, which has to be of this kind; lines of the log are logged.

        Raises:
            EngineProcessError: the child has ended, or says something else.
            EmbeddedLoadError, BreakersError, EngineError: the child refuses what it was told to do.
        """
        while True:
            told = self._next()
            if isinstance(told, wanted):
                return told
            if isinstance(told, Refused):
                raise told.failure.error()
            if isinstance(told, Log):
                log_again(told)
            elif isinstance(told, Ended):
                raise EngineProcessError(told.reason)
            else:
                raise EngineProcessError(f"the engine says {type(told).__name__}; wanted {wanted.__name__}")

    @property
    def last_lines(self) -> str:
        """See `ChildProcess.last_lines`."""
        return self._child.last_lines

    def close(self) -> str:
        """End the child; see `ChildProcess.close`."""
        return self._child.close()

    def kill(self) -> None:
        """End the child as it is."""
        self._child.kill()

    def _ended(self) -> EngineProcessError:
        return EngineProcessError(f"{self.close()}{self.last_lines}")

    def _next(self) -> Telling:
        while not self._received:
            try:
                data = self.end.recv(65536)
            except OSError as error:
                raise self._ended() from error
            if not data:
                raise self._ended()
            self._received.extend(read_telling(message) for message in self.frames.feed(data))
        return self._received.popleft()
