"""The child as the parent has it: started, spoken with while it loads, and ended."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from server.engines.apart.errors import EngineProcessError
from server.engines.apart.frames import LARGEST_NEWS, FrameReader
from server.engines.apart.logs import log_again
from server.engines.apart.messages import Ended, Log, Order, Refused, Telling, frame, read_telling

logger = logging.getLogger(__name__)

_MAIN = """
import sys
if sys.argv[1] not in sys.path:
    sys.path.insert(0, sys.argv[1])
from server.engines.apart.child import main
main(int(sys.argv[2]))
"""
_KEPT_LINES = 10
"""Of the child's output, for whoever is told how it ended."""
_LONGEST_LINE = 4096
_END_SECONDS = 5.0
"""For the child to end once it has no reason to live."""

Wanted = TypeVar("Wanted", bound=Telling)


class EngineProcess:
    """A running child. Until an event loop takes the socket over, messages are exchanged by waiting for them."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            EngineProcessError: the system does not let us.
        """
        self.end, theirs = socket.socketpair()
        self.frames = FrameReader(LARGEST_NEWS)
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._received: deque[Telling] = deque()
        # Not whatever lies in the working directory, but the package that this is.
        package = str(Path(__file__).resolve().parents[3])
        try:
            with theirs:
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-c", _MAIN, package, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
        except OSError as error:
            self.end.close()
            raise EngineProcessError(f"the engine's process cannot be started: {error}") from error
        self._output = threading.Thread(
            target=self._read_output, args=(self._child.stdout,), name="scalpel-engine-output", daemon=True
        )
        self._output.start()

    @property
    def process_id(self) -> int:
        """The child's."""
        return self._child.pid

    def tell(self, order: Order) -> None:
        """Send a message; before an event loop has the socket.

        Raises:
            EngineProcessError: the child has ended.
        """
        try:
            self.end.sendall(frame(order))
        except OSError as error:
            raise EngineProcessError(self.close()) from error

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

    def close(self) -> str:
        """End the child. May take a while where it does not end by itself; may be called again.

        Returns:
            How it ended, and its last lines.
        """
        self.end.close()
        try:
            status = self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            status = self._child.wait()
        # Others may hold the other end of the pipe: whom the child started.
        self._output.join(1.0)
        said = "; it said last: " + " | ".join(self._lines) if self._lines else ""
        return f"the engine's process {_described(status)}{said}"

    def kill(self) -> None:
        """End the child as it is."""
        self._child.kill()

    def _next(self) -> Telling:
        while not self._received:
            try:
                data = self.end.recv(65536)
            except OSError as error:
                raise EngineProcessError(f"{self.close()} ({error.strerror})") from error
            if not data:
                raise EngineProcessError(self.close())
            self._received.extend(read_telling(message) for message in self.frames.feed(data))
        return self._received.popleft()

    def _read_output(self, output: IO[bytes]) -> None:
        """What is no line of its log: warnings of libraries, and what a crash leaves."""
        with output, suppress(ValueError):
            while line := output.readline(_LONGEST_LINE):
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._lines.append(text)
                    logger.warning("the engine's process: %s", text)


def _described(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
