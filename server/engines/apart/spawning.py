"""The child process itself: started, listened to, and ended. Imports nothing heavy, so that it can start first."""

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
from typing import IO

from server.engines.apart.errors import EngineProcessError

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


class ChildProcess:
    """A running child, and our end of the socket to it. It ends when that is closed."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            EngineProcessError: the system does not let us.
        """
        self.end, theirs = socket.socketpair()
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
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._output = threading.Thread(
            target=self._read_output, args=(self._child.stdout,), name="scalpel-engine-output", daemon=True
        )
        self._output.start()

    @property
    def process_id(self) -> int:
        """Of the child."""
        return self._child.pid

    @property
    def last_lines(self) -> str:
        """What it wrote last beside its log, ready to stand at the end of a sentence; not fit for clients."""
        return "; it said last: " + " | ".join(self._lines) if self._lines else ""

    def close(self) -> str:
        """End it. May take a while where it does not end by itself; may be called again.

        Returns:
            How it ended.
        """
        self.end.close()
        try:
            status = self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            status = self._child.wait()
        # Others may hold the other end of the pipe: whom the child started.
        self._output.join(1.0)
        return f"the engine's process {_described(status)}"

    def kill(self) -> None:
        """End it as it is."""
        self._child.kill()

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
