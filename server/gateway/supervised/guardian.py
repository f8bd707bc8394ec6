"""The process between the gateway and vLLM's server: ends vLLM's group when the gateway is gone, or tells it to.

vLLM starts an engine and workers of its own, which hold the accelerator. They are all in one group, and the gateway's
end of a pipe closes with the gateway, however that ends. Imports nothing but what Python brings.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Taken no notice of: who stops the gateway lets requests finish first, and a signal may go to its whole group."""


def main(arguments: Sequence[str]) -> int:
    """Run a command until it ends, or until standard input does.

    Args:
        arguments: seconds that the command has to end after SIGTERM, then the command.

    Returns:
        Its exit status, as a shell has it.
    """
    for number in SIGNALS:
        # A function and not SIG_IGN, which the command would inherit.
        signal.signal(number, _unmoved)
    grace, command = float(arguments[0]), list(arguments[1:])
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stdout.write(f"{command[0]} cannot be started: {error}\n")
        return 127
    threading.Thread(target=_end_with_parent, args=(child, grace), daemon=True).start()
    status = child.wait()
    # What it started may still be there.
    _signal_group(child.pid, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _end_with_parent(child: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(0, 4096):
        pass
    _signal_group(child.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _unmoved(_number: int, _frame: FrameType | None) -> None:
    return
