"""Bytes in both directions, and what happens where nobody takes them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

from server.engines.apart.connection import Connection
from server.engines.apart.errors import EngineProcessError, ProtocolError
from server.engines.apart.frames import LENGTH, FrameReader

LARGE = 300_000
"""More than a socket takes at once."""


def framed(data: bytes) -> bytearray:
    return bytearray(LENGTH.pack(len(data)) + data)


def ignore(_: object) -> None:
    pass


@asynccontextmanager
async def connected(
    receive: Callable[[bytes], None] = ignore, ended: Callable[[EngineProcessError], None] = ignore, waiting: int = 0
) -> AsyncIterator[tuple[Connection, socket.socket]]:
    end, other = socket.socketpair()
    connection = Connection(end, FrameReader(2 * LARGE), receive=receive, ended=ended, most_waiting=waiting)
    connection.open()
    with closing(end), closing(other):
        other.setblocking(False)
        yield connection, other
        connection.close()


async def read(other: socket.socket, count: int) -> list[bytes]:
    frames, found = FrameReader(2 * LARGE), []
    while len(found) < count:
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(other, 65536), 10)
        found += list(frames.feed(data))
    return found


async def test_what_may_be_lost_is_lost_where_nobody_reads_and_the_rest_arrives_in_order() -> None:
    async with connected(waiting=2 * LARGE) as (connection, other):
        sent = []
        while connection.send(framed(bytes([len(sent)]) * LARGE), can_be_lost=True):
            sent.append(bytes([len(sent)]) * LARGE)
        assert 2 <= len(sent) < 10
        assert connection.send(framed(b"must arrive"))
        assert await read(other, len(sent) + 1) == [*sent, b"must arrive"]
        assert connection.send(framed(b"again"), can_be_lost=True)
        assert await read(other, 1) == [b"again"]


async def test_threads_may_send_at_the_same_time() -> None:
    async with connected() as (connection, other):

        def send(name: int) -> None:
            for n in range(20):
                connection.send(framed(bytes([name, n]) * 5000))

        threads = [threading.Thread(target=send, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        found = await read(other, 60)
        for thread in threads:
            thread.join()
    for name in range(3):
        assert [m for m in found if m[0] == name] == [bytes([name, n]) * 5000 for n in range(20)]


async def test_the_end_is_told_once() -> None:
    over: asyncio.Queue[EngineProcessError] = asyncio.Queue()
    async with connected(ended=over.put_nowait) as (connection, other):
        other.close()
        assert not isinstance(await asyncio.wait_for(over.get(), 10), ProtocolError)
        assert connection.send(framed(b"nobody is there"))
        assert over.empty()


async def test_what_cannot_be_taken_is_the_end() -> None:
    def fail(data: bytes) -> None:
        if data == b"bad":
            raise KeyError("no such thing")
        raise AssertionError("it was taken")

    for receive, data, said in (
        (fail, framed(b"bad") + framed(b"more"), "KeyError"),
        (ignore, b"\xff" * 9, "wanted"),
    ):
        over: asyncio.Queue[EngineProcessError] = asyncio.Queue()
        async with connected(receive, over.put_nowait) as (_, other):
            other.send(data)
            error = await asyncio.wait_for(over.get(), 10)
        assert isinstance(error, ProtocolError)
        assert said in str(error)
