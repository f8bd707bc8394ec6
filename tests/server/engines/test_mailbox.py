"""Jobs for the engine's thread: run between steps, and never left without an answer."""

import pytest

from server.engines.base import EngineUnavailableError
from server.engines.embedded.mailbox import Mailbox


def test_a_job_is_refused_while_nothing_runs() -> None:
    mailbox = Mailbox(slots=1, queue_size=0)
    with pytest.raises(EngineUnavailableError, match="not been started"):
        mailbox.call(lambda: 1).result()
    mailbox.open()
    waiting = mailbox.call(lambda: 1)
    assert not waiting.done()
    job = mailbox.take_job()
    assert job is not None
    job.refuse("it died")
    with pytest.raises(EngineUnavailableError, match="it died"):
        waiting.result()


def test_what_a_job_returns_or_raises_is_its_futures() -> None:
    mailbox = Mailbox(slots=1, queue_size=0)
    mailbox.open()
    futures = [mailbox.call(lambda: 7), mailbox.call(lambda: 1 // 0), mailbox.call(lambda: 8)]
    futures[2].cancel()
    assert mailbox.wait()
    while (job := mailbox.take_job()) is not None:
        job.run()
    assert futures[0].result() == 7
    with pytest.raises(ZeroDivisionError):
        futures[1].result()
    assert futures[2].cancelled()
