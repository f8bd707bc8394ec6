"""vLLM's server, started and kept running: again after a while where it ended, the while growing with each time.

Belongs to a thread of its own; only `stop` and the properties are for others.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO

from server.gateway.supervised.command import SupervisedSettings, command_of, environment_of

logger = logging.getLogger(__name__)
lines = logging.getLogger("vllm")
"""What vLLM's server says."""

GRACE_SECONDS = 15.0
"""For vLLM to end after it was told to."""
LONGEST_PAUSE = 60.0
GOOD_SECONDS = 300.0
"""A run of this length forgets the ends before it."""
_KEPT_LINES = 15
"""Of its output, for whoever is told how it ended."""
_LONGEST_LINE = 8192

_MAIN = """
import sys
if sys.argv[1] not in sys.path:
    sys.path.insert(0, sys.argv[1])
from server.gateway.supervised.guardian import main
sys.exit(main(sys.argv[2:]))
"""
_LINE = re.compile(r"(?P<who>\(\S+ pid=\d+\) )?(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d (?P<text>.*)", re.DOTALL)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def pause_before(ends: int) -> float:
    """Seconds before a start, after so many ends in a row: none after the first, then 1, 2, 4, up to 60."""
    return 0.0 if ends <= 1 else min(LONGEST_PAUSE, 2.0 ** (ends - 2))


class SupervisedServer:
    """A context manager: nothing of vLLM is left after it."""

    def __init__(self, settings: SupervisedSettings) -> None:
        self._settings = settings
        self._directory = Path(tempfile.mkdtemp(prefix="scalpel-vllm-"))
        self.socket_file = self._directory / "vllm.sock"
        """Where it listens; in a directory that only this user can open."""
        self.starts = 0
        """So far."""
        self._keep = False
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="vllm-server", daemon=True)

    def __enter__(self) -> SupervisedServer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def ended(self) -> bool:
        """Whether it ended, or could not be started, and is not started again."""
        return self._ended.is_set()

    @property
    def last_lines(self) -> str:
        """What it said last, ready to stand at the end of a sentence; not fit for clients."""
        return "; it said last:\n" + "\n".join(self._last) if self._last else ""

    def keep_running(self) -> None:
        """It was good once: from now on it is started again when it ends."""
        self._keep = True

    def stop(self) -> None:
        """End it with all that it started, and wait for that."""
        self._stopping.set()
        with self._lock:
            self._close_input()
        self._thread.join(GRACE_SECONDS + 10)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self) -> None:
        ends = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = self._once()
            if self._stopping.is_set():
                break
            ends = 1 if time.monotonic() - began >= GOOD_SECONDS else ends + 1
            logger.error("vLLM's server ended with exit status %s%s", status, "" if self._keep else self.last_lines)
            if not self._keep:
                break
            pause = pause_before(ends)
            logger.warning("vLLM's server is started again in %g s", pause)
            self._stopping.wait(pause)
        self._ended.set()

    def _once(self) -> int:
        """Start it and read what it says until it ends."""
        package = str(Path(__file__).resolve().parents[3])
        self.socket_file.unlink(missing_ok=True)
        with self._lock:
            if self._stopping.is_set():
                return 0
            self.starts += 1
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _MAIN, package, str(GRACE_SECONDS)),
                    *command_of(self._settings, self.socket_file),
                ],
                env=environment_of(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        if self._child.stdout is not None:
            self._read(self._child.stdout)
        status = self._child.wait()
        with self._lock:
            self._close_input()
            self._child = None
        return status

    def _close_input(self) -> None:
        """What the guardian ends upon; under the lock."""
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.close()

    def _read(self, output: IO[bytes]) -> None:
        with output, suppress(ValueError):
            while line := output.readline(_LONGEST_LINE):
                text = _COLOURS.sub("", line.decode(errors="replace")).rstrip()
                if text:
                    self._last.append(text)
                    _log(text)


def _log(text: str) -> None:
    """A line of vLLM's in our log: its level and words, our time."""
    found = _LINE.fullmatch(text)
    level = logging.getLevelNamesMapping().get(found["level"]) if found else None
    if found is None or level is None:
        lines.info("%s", text)
    else:
        lines.log(level, "%s%s", found["who"] or "", found["text"])
