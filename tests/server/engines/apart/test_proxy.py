"""The parent's engine with a child that is played: what it says, and what it makes of what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from apart_engines import PlayedChild, played_engine
from engine_contract import prompt, reply, request

from breakers.errors import SiteError
from server.engines.apart import proxy
from server.engines.apart.failures import Failure
from server.engines.apart.frames import LENGTH
from server.engines.apart.messages import (
    Answer,
    Beat,
    Bundle,
    Cancel,
    Check,
    Ended,
    LoadBundles,
    Loaded,
    Log,
    News,
    Order,
    RetireBundles,
    Start,
    Stop,
    Stopped,
    Submit,
)
from server.engines.apart.proxy import ApartEngine
from server.engines.base import (
    EngineOverloadedError,
    EngineStats,
    EngineUnavailableError,
    FinishReason,
    GenerationChunk,
    GrammarDeadEndError,
    RequestRefusedError,
)


def piece(text: str, finish: FinishReason | None = None) -> GenerationChunk:
    return GenerationChunk(text=text, token_ids=(5,), logprobs=(-1.0,), finish_reason=finish)


async def started(queue_size: int = 1) -> tuple[PlayedChild, ApartEngine]:
    child = PlayedChild()
    engine = played_engine(child, queue_size=queue_size)
    assert not engine.healthy
    with pytest.raises(EngineUnavailableError, match="not been started"):
        await reply(engine, request(prompt(3)))
    await engine.start()
    assert isinstance(await child.told(), Start)
    return child, engine


async def stop(child: PlayedChild, engine: ApartEngine) -> None:
    stopping = asyncio.create_task(engine.stop())
    if engine.healthy:
        assert isinstance(await child.told(), Stop)
        child.say(Ended(reason="it was told to"), Stopped())
    await stopping
    child.other.close()
    assert not engine.healthy


async def told(child: PlayedChild, kind: type[Order]) -> Order:
    order = await child.told()
    assert isinstance(order, kind)
    return order


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.001)


async def test_news_are_replies_and_counts() -> None:
    child, engine = await started()
    asking = asyncio.create_task(reply(engine, request(prompt(3))))
    number = (await told(child, Submit)).number
    assert engine.stats() == EngineStats(running=0, waiting=1, steps=0)
    child.say(News(steps=1, started=(number,), chunks=((number, piece("a")), (number + 7, piece("unheard")))))
    await until(lambda: engine.stats() == EngineStats(running=1, waiting=0, steps=1))
    child.say(News(steps=2, freed=(number,), chunks=((number, piece("b", FinishReason.STOP)),)))
    assert (await asking).text == "ab"
    assert engine.stats() == EngineStats(running=0, waiting=0, steps=2)
    await stop(child, engine)


async def test_a_closed_reply_is_cancelled_and_a_finished_one_is_not() -> None:
    child, engine = await started()
    chunks = engine.generate(request(prompt(3)))
    asking = asyncio.create_task(anext(chunks))
    number = (await told(child, Submit)).number
    child.say(News(steps=1, started=(number,), chunks=((number, piece("a")),)))
    await asking
    await chunks.aclose()
    assert (await told(child, Cancel)).number == number
    assert engine.stats().running == 1
    child.say(News(steps=2, chunks=((number, piece("b")),)), News(steps=2, freed=(number,)))
    await until(lambda: engine.stats().running == 0)
    finished = engine.generate(request(prompt(3)))
    asking = asyncio.create_task(anext(finished))
    number = (await told(child, Submit)).number
    child.say(News(steps=3, started=(number,), freed=(number,), chunks=((number, piece("c", FinishReason.STOP)),)))
    await asking
    await finished.aclose()
    # The next thing that it hears is the end.
    await stop(child, engine)


async def test_what_the_queue_does_not_hold_is_refused_here() -> None:
    child, engine = await started(queue_size=0)
    asking = asyncio.create_task(reply(engine, request(prompt(3))))
    number = (await told(child, Submit)).number
    with pytest.raises(EngineOverloadedError, match="0 requests run and 1 wait; the engine takes 1"):
        await reply(engine, request(prompt(3)))
    asking.cancel()
    assert (await told(child, Cancel)).number == number
    assert engine.stats().waiting == 0
    again = asyncio.create_task(reply(engine, request(prompt(3))))
    number = (await told(child, Submit)).number
    refused = Failure.of(GrammarDeadEndError("leads nowhere", param="response_format"))
    child.say(News(steps=0, failures=((number, refused),)))
    with pytest.raises(GrammarDeadEndError, match="leads nowhere") as error:
        await again
    assert error.value.param == "response_format"
    assert engine.stats().waiting == 0
    await stop(child, engine)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"top_k": 2**80}, "cannot be sent to the engine"),
        ({"stop": ("\ud800",)}, "cannot be sent to the engine"),
        ({"logit_bias": {2**80: 1.0}}, "logit_bias names token"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
async def test_what_cannot_be_sent_is_refused(wrong: dict[str, object], said: str) -> None:
    child, engine = await started()
    with pytest.raises(RequestRefusedError, match=said):
        await reply(engine, request(prompt(3), **wrong))
    assert engine.stats().waiting == 0
    await stop(child, engine)


async def test_calls_are_answered_by_number_and_errors_keep_their_kind() -> None:
    child, engine = await started()
    calls = [asyncio.create_task(engine.load_bundles(())), asyncio.create_task(engine.selftest(()))]
    orders = [await child.told(), await child.told()]
    by_kind = {type(order): order.call for order in orders}
    child.say(
        Answer(call=by_kind[Check]), Answer(call=by_kind[LoadBundles], failure=Failure.of(SiteError("layer 9")))
    )
    assert await calls[1] == ()
    with pytest.raises(SiteError, match="layer 9"):
        await calls[0]
    await stop(child, engine)


async def test_a_version_that_nobody_heard_of_is_retired() -> None:
    child, engine = await started()
    loading = asyncio.create_task(engine.load_bundles(()))
    call = (await told(child, LoadBundles)).call
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    child.say(Answer(call=call, version=3))
    assert (await told(child, RetireBundles)).version == 3
    await stop(child, engine)


async def test_lines_of_the_log_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    child, engine = await started()
    line = Log(logger="server.engines.x", level=logging.WARNING, created=1.5, message="50% done", exception="Trace")
    with caplog.at_level(logging.INFO):
        child.say(line, Log(logger="server.engines.x", level=logging.DEBUG, created=1, message="no", exception=None))
        await until(lambda: len(caplog.records) > 0)
    (record,) = caplog.records
    assert (record.name, record.getMessage(), record.created, record.exc_text) == (
        "server.engines.x",
        "50% done",
        1.5,
        "Trace",
    )
    await stop(child, engine)


async def fails_closed(child: PlayedChild, engine: ApartEngine, said: str, end: Callable[[], object]) -> None:
    """Whatever `end` does, a reply and a call hear of it, and nothing is accepted any more."""
    asking = asyncio.create_task(reply(engine, request(prompt(3))))
    number = (await told(child, Submit)).number
    checking = asyncio.create_task(engine.selftest(()))
    await told(child, Check)
    child.say(News(steps=1, started=(number,), chunks=((number, piece("a")),)))
    end()
    for waiting in (asking, checking):
        with pytest.raises(EngineUnavailableError, match=said):
            await asyncio.wait_for(waiting, 10)
    assert not engine.healthy
    assert engine.stats().running == engine.stats().waiting == 0
    with pytest.raises(EngineUnavailableError, match=said):
        await reply(engine, request(prompt(3)))
    with pytest.raises(EngineUnavailableError, match=said):
        await engine.load_bundles(())
    await stop(child, engine)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (LENGTH.pack(2**32 - 1), "wanted at most"),
        (LENGTH.pack(2) + b"\x91\xa0", "not a message of the engine"),
        (LENGTH.pack(1) + b"\xc1", "not a message of the engine"),
    ],
)
async def test_bytes_that_are_no_message_end_the_engine(sent: bytes, said: str) -> None:
    child, engine = await started()
    await fails_closed(child, engine, said, lambda: child.other.sendall(sent))
    assert child.killed


async def test_a_message_out_of_place_ends_the_engine() -> None:
    child, engine = await started()
    await fails_closed(child, engine, "says Loaded while it runs", lambda: child.say(Loaded(fingerprint="x")))
    assert child.killed


async def test_a_closed_connection_ends_the_engine() -> None:
    child, engine = await started()
    await fails_closed(child, engine, "the played process ended", child.other.close)


async def test_a_loop_that_ended_ends_the_engine() -> None:
    child, engine = await started()
    await fails_closed(child, engine, "it died of x", lambda: child.say(Ended(reason="it died of x")))


async def test_silence_ends_the_engine_and_signs_of_life_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "WATCH_SECONDS", 0.02)
    child, engine = await started()
    for _ in range(2 * proxy.SILENT_WATCHES):
        child.say(Beat())
        await asyncio.sleep(0.02)
    assert engine.healthy
    await fails_closed(child, engine, "no sign of life", lambda: None)
    assert child.killed


async def test_a_child_that_does_not_stop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "STOP_SECONDS", 0.05)
    child, engine = await started()
    asking = asyncio.create_task(reply(engine, request(prompt(3))))
    await told(child, Submit)
    await engine.stop()
    with pytest.raises(EngineUnavailableError, match="was stopped before the reply was finished"):
        await asking
    child.other.close()


async def test_bundles_go_before_the_call_that_loads_them() -> None:
    from engine_contract import contract_bundles

    child, engine = await started()
    loading = asyncio.create_task(engine.load_bundles(contract_bundles("llama")))
    names = [(await told(child, Bundle)).entry.name for _ in range(4)]
    order = await told(child, LoadBundles)
    assert (names, order.bundles) == (["heads", "mlp", "mask", "steer"], 4)
    child.say(Answer(call=order.call, version=1))
    assert await loading == 1
    await stop(child, engine)
