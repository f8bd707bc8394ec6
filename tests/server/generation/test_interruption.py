"""Running requests that are ended from outside: by whichever task they are awaited, and only they."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from server.engines.base import EngineStats
from server.errors import DrainingError, RequestTimeoutError
from server.generation.interruption import Interruptions
from server.generation.pace import LONGEST, Pace

STOPPED = DrainingError("stopped")


class Source:
    """Two pieces at once, then one for each that a test allows."""

    def __init__(self) -> None:
        self.more: asyncio.Queue[int] = asyncio.Queue()
        self.closed = False

    async def pieces(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
            while True:
                yield await self.more.get()
        finally:
            self.closed = True


async def one(pieces: AsyncGenerator[int, None]) -> int:
    return await anext(pieces)


async def test_pieces_come_through_whoever_awaits_them() -> None:
    source = Source()
    guarded = Interruptions(60.0).guarded(source.pieces(), 0.0)
    assert [await one(guarded), await asyncio.create_task(one(guarded))] == [1, 2]
    source.more.put_nowait(3)
    assert await asyncio.create_task(one(guarded)) == 3
    await guarded.aclose()
    assert source.closed


@pytest.mark.parametrize("waiting", [True, False])
async def test_an_interruption_ends_it_now_or_at_its_next_piece(waiting: bool) -> None:
    source, running = Source(), Interruptions()
    guarded = running.guarded(source.pieces(), 0.0)
    await anext(guarded)
    await anext(guarded)
    task = asyncio.create_task(one(guarded))
    if waiting:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    running.interrupt_all(STOPPED)
    running.interrupt_all(DrainingError("later"))
    with pytest.raises(DrainingError, match="stopped"):
        await task
    assert source.closed
    assert not running._running


async def test_the_time_limit_counts_from_the_arrival() -> None:
    source = Source()
    with pytest.raises(RequestTimeoutError, match=r"longer than 5 s"):
        async for _ in Interruptions(5.0).guarded(source.pieces(), 4.99):
            pass
    assert source.closed
    late = Interruptions(5.0).guarded(Source().pieces(), 99.0)
    await anext(late)
    await asyncio.sleep(0.01)
    with pytest.raises(RequestTimeoutError):
        await anext(late)


async def test_a_cancellation_of_the_reader_is_no_interruption() -> None:
    source, running = Source(), Interruptions(60.0)

    async def read() -> None:
        async for _ in running.guarded(source.pieces(), 0.0):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed
    both = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    both.cancel()
    running.interrupt_all(STOPPED)
    with pytest.raises(asyncio.CancelledError):
        await both
    assert not running._running


async def test_a_task_can_go_on_after_an_interruption() -> None:
    running = Interruptions()
    source = Source()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.01, running.interrupt_all, STOPPED)
    with pytest.raises(DrainingError):
        async for _ in running.guarded(source.pieces(), 0.0):
            pass
    assert task.cancelling() == 0
    await asyncio.sleep(0)


def stats(running: int, waiting: int) -> EngineStats:
    return EngineStats(running=running, waiting=waiting, steps=0)


def test_when_to_come_back_is_when_the_queue_will_have_gone() -> None:
    pace = Pace()
    assert pace.retry_after(stats(4, 4)) == 1, "nothing is known yet"
    pace.took(20.0)
    assert pace.retry_after(stats(4, 0)) == 1
    assert pace.retry_after(stats(4, 4)) == 10
    assert pace.retry_after(stats(1, 3)) == 15
    pace.took(30.0)
    assert pace.retry_after(stats(1, 1)) == 11, "(20 + 0.1 * 10) / 2, rounded up"
    pace.took(1e9)
    assert pace.retry_after(stats(1, 1)) == LONGEST
    assert pace.retry_after(stats(0, 0)) == 1
