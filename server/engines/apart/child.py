"""The child's main: reads what to do from the socket that it is started with, until that closes.

It takes no notice of signals: who stops the server stops its parent, which lets requests finish first. The parent's
end of the socket closes with the parent, however that ends, and then this process ends at once.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import os
import select
import signal
import socket
import threading

MOST_WAITING = 32 * 1024**2
"""Bytes that may wait for a parent that does not read; then replies are ended."""
BAD_MESSAGE = 70
"""Exit status after a message that is none."""


def main(descriptor: int) -> None:
    """Serve one parent.

    Args:
        descriptor: of the socket.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    faulthandler.enable()
    with socket.socket(fileno=descriptor) as end:
        # Before anything heavy is imported: from here on nothing outlives the parent.
        threading.Thread(target=_end_with, args=(end.fileno(),), name="scalpel-parent", daemon=True).start()
        asyncio.run(_serve(end))


async def _serve(end: socket.socket) -> None:
    from server.engines.apart.connection import Connection
    from server.engines.apart.errors import EngineProcessError, ProtocolError
    from server.engines.apart.frames import LARGEST_ORDER, FrameReader
    from server.engines.apart.logs import send_logs
    from server.engines.apart.messages import Ended, frame
    from server.engines.apart.service import Service

    over: asyncio.Future[EngineProcessError] = asyncio.get_running_loop().create_future()
    connection = Connection(
        end,
        FrameReader(LARGEST_ORDER),
        receive=lambda data: service.receive(data),
        ended=over.set_result,
        most_waiting=MOST_WAITING,
    )
    service = Service(connection.send)
    send_logs(connection.send)
    # What reading a model needs, while the parent has not said yet which.
    importlib.import_module("server.engines.embedded.loading")
    # Bars have no place among the parent's lines.
    importlib.import_module("transformers.utils.logging").disable_progress_bar()
    connection.open()
    error = await over
    if isinstance(error, ProtocolError):
        end.setblocking(True)
        end.sendall(frame(Ended(reason=str(error))))
        os._exit(BAD_MESSAGE)
    os._exit(0)


def _end_with(descriptor: int) -> None:
    """End this process when the other end closes, whatever its other threads do."""
    poll = select.poll()
    poll.register(descriptor, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
    poll.poll()
    os._exit(0)
