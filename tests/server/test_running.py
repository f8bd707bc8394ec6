"""The listening socket: what asyncio makes of it."""

import asyncio
import socket
import subprocess
import sys

from server.running import bind


async def accepted_options(listener: socket.socket) -> int:
    """TCP_NODELAY of a connection that asyncio accepts on `listener`."""
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(accept, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        writer.close()
        return await found


def test_small_writes_are_sent_at_once() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert asyncio.run(accepted_options(listener)) != 0


def test_the_engines_process_begins_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys, server.running, server.engines.apart.spawning, server.engines.apart.child\n"
        "print([name for name in ('torch', 'transformers', 'fastapi', 'msgspec') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
