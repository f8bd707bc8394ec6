"""The child's side in this process: requests in, news out, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apart_engines import saved_tiny_model
from engine_contract import prompt, request
from tiny import tiny_model

from breakers.fingerprint import fingerprint_model
from server.engines.apart.carrier import NewsCarrier
from server.engines.apart.errors import ProtocolError
from server.engines.apart.messages import (
    Beat,
    Build,
    Built,
    Cancel,
    Load,
    LoadBundles,
    Loaded,
    News,
    Order,
    Refused,
    Start,
    Stop,
    Stopped,
    Submit,
    Telling,
    frame,
    read_telling,
)
from server.engines.apart.requests import wire_request
from server.engines.apart.service import Service
from server.engines.base import FinishReason, GenerationChunk, GenerationRequest

SETTINGS = {"slots": 1, "queue_size": 3, "drain_seconds": 0.0, "threads": 1}


class Parent:
    """Keeps what a service sends."""

    def __init__(self) -> None:
        self.heard: list[Telling] = []
        self.takes = True
        self.service = Service(self.send)

    def send(self, data: bytearray, *, can_be_lost: bool = False) -> bool:
        if can_be_lost and not self.takes:
            return False
        self.heard.append(read_telling(bytes(data[4:])))
        return True

    def order(self, *orders: Order) -> None:
        for order in orders:
            self.service.receive(bytes(frame(order)[4:]))

    def news(self) -> list[News]:
        return [told for told in self.heard if isinstance(told, News)]

    def pieces(self, number: int) -> list[GenerationChunk]:
        return [chunk for news in self.news() for of, chunk in news.chunks if of == number]


def submit(number: int, wanted: GenerationRequest) -> Submit:
    return Submit(number=number, request=wire_request(wanted))


LONG = request(prompt(5), temperature=1.0, seed=3, max_tokens=100)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not claim():
            await asyncio.sleep(0.001)


@pytest.fixture
def kept_garbage() -> Iterator[None]:
    """A service freezes what is loaded; here that is everybody's."""
    import gc

    yield
    gc.unfreeze()


async def built(directory: Path) -> Parent:
    parent = Parent()
    path = saved_tiny_model("llama", directory)
    parent.order(Load(directory=str(path), dtype="float32"), Build(settings=SETTINGS, bundles=0))
    loaded, ready = parent.heard
    assert loaded == Loaded(fingerprint=fingerprint_model(tiny_model("llama")))
    assert isinstance(ready, Built)
    assert ready.info.model_id == "llama"
    return parent


async def stopped(parent: Parent) -> None:
    parent.order(Stop())
    await until(lambda: Stopped() in parent.heard)


@pytest.mark.usefixtures("kept_garbage")
async def test_a_request_is_over_in_the_news_that_end_it(tmp_path: Path) -> None:
    parent = await built(tmp_path)
    parent.order(Start(), submit(1, request(prompt(5), max_tokens=3)), submit(2, request(prompt(9), max_tokens=2)))
    await until(lambda: any(2 in news.freed for news in parent.news()))
    news = parent.news()
    assert [n for one in news for n in one.started] == [1, 2]
    for number in (1, 2):
        ends = [n for n in news if any(of == number and c.finish_reason is not None for of, c in n.chunks)]
        assert [number in n.freed for n in ends] == [True]
    assert len(parent.pieces(1)) == 3
    # One message for each step: those that began one say so, the others carry its pieces.
    assert len([n for n in news if n.chunks]) == max(n.steps for n in news)
    assert Beat() in parent.heard
    await stopped(parent)


@pytest.mark.usefixtures("kept_garbage")
async def test_a_cancelled_request_frees_its_slot_within_one_step(tmp_path: Path) -> None:
    parent = await built(tmp_path)
    parent.order(Start(), submit(1, LONG), submit(2, LONG), submit(3, request(prompt(4), max_tokens=2)))
    await until(lambda: len(parent.pieces(1)) > 2)
    engine = parent.service._engine
    parent.order(Cancel(number=2))
    steps = engine.stats().steps
    parent.order(Cancel(number=1))
    await until(lambda: any(1 in news.freed for news in parent.news()))
    (freed,) = [news for news in parent.news() if 1 in news.freed]
    assert freed.steps <= steps + 1
    await until(lambda: bool(parent.pieces(3)) and parent.pieces(3)[-1].finish_reason is FinishReason.LENGTH)
    assert parent.pieces(2) == []
    parent.order(Cancel(number=3), Cancel(number=99))
    await stopped(parent)


@pytest.mark.usefixtures("kept_garbage")
async def test_cancelled_before_it_was_admitted(tmp_path: Path) -> None:
    parent = await built(tmp_path)
    # No turn of the event loop is between the two.
    parent.order(Start(), submit(1, LONG), Cancel(number=1))
    await asyncio.sleep(0.05)
    await until(lambda: parent.service._engine.stats().running == 0)
    assert len(parent.pieces(1)) <= 2
    await stopped(parent)


@pytest.mark.usefixtures("kept_garbage")
async def test_a_parent_that_does_not_read_loses_replies_and_hears_of_it(tmp_path: Path) -> None:
    parent = await built(tmp_path)
    parent.order(Start(), submit(1, LONG))
    await until(lambda: len(parent.pieces(1)) > 2)
    parent.takes = False
    await until(lambda: any(news.failures for news in parent.news()))
    ((number, failure),) = next(news for news in parent.news() if news.failures).failures
    assert (number, failure.kind) == (1, "RequestFailedError")
    await until(lambda: any(1 in news.freed for news in parent.news()))
    parent.takes = True
    parent.order(submit(2, request(prompt(5), max_tokens=2)))
    await until(lambda: len(parent.pieces(2)) == 2)
    await stopped(parent)


@pytest.mark.usefixtures("kept_garbage")
async def test_what_runs_when_it_stops_hears_of_it(tmp_path: Path) -> None:
    parent = await built(tmp_path)
    parent.order(Start(), submit(1, LONG), submit(2, LONG))
    await until(lambda: len(parent.pieces(1)) > 2)
    await stopped(parent)
    assert parent.heard[-1] == Stopped()
    failed = dict(pair for news in parent.news() for pair in news.failures)
    assert sorted(failed) == [1, 2]
    assert {failure.kind for failure in failed.values()} == {"EngineUnavailableError"}


async def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    parent = Parent()
    parent.order(Load(directory=str(tmp_path), dtype="float32"))
    (refused,) = parent.heard
    assert isinstance(refused, Refused)
    assert (refused.failure.kind, "no config.json" in refused.failure.message) == ("EmbeddedLoadError", True)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Build(settings={}, bundles=0), "no model was read"),
        (Start(), "none was made"),
        (Cancel(number=1), None),
        (submit(1, LONG), "none was made"),
        (LoadBundles(call=1, bundles=2), "0 bundles came; wanted 2"),
    ],
)
async def test_orders_out_of_place_are_refused(order: Order, said: str | None) -> None:
    parent = Parent()
    if said is None:
        parent.order(order)
        return
    with pytest.raises(ProtocolError, match=said):
        parent.order(order)


def test_a_carrier_is_one_for_all_its_readers() -> None:
    carrier = NewsCarrier(lambda *_, **__: True)
    assert carrier.open(1).carrier is carrier.open(2).carrier
    assert carrier.cancel(3) is None
