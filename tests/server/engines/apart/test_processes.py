"""Real children: who ends whom, and who hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apart_engines import engine_in, saved_tiny_model
from engine_contract import prompt, request, running
from serving.live import wait_until

from server.engines.apart.child import BAD_MESSAGE
from server.engines.apart.errors import EngineProcessError
from server.engines.apart.frames import LENGTH
from server.engines.apart.hosting import begin_loading, loaded_fingerprint
from server.engines.apart.messages import Start
from server.engines.apart.process import EngineProcess
from server.engines.apart.spawning import ChildProcess
from server.engines.base import EngineUnavailableError
from server.engines.embedded.errors import EmbeddedLoadError

pytestmark = pytest.mark.xdist_group("apart")

PARENT = (
    "import time\nfrom server.engines.apart.spawning import ChildProcess\n"
    "child = ChildProcess()\nprint(child.process_id, flush=True)\ntime.sleep(600)\n"
)


@contextmanager
def child() -> Iterator[ChildProcess]:
    started = ChildProcess()
    try:
        yield started
    finally:
        started.close()


def alive(process_id: int) -> bool:
    """Whether a process runs; one that only waits to be taken note of does not."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_killed_child_ends_its_replies_and_signals_to_the_group_do_not_end_it(tmp_path: Path) -> None:
    path = saved_tiny_model("llama", tmp_path)
    with child() as started:
        engine = engine_in(EngineProcess(started), path, slots=1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(started.process_id, number)
        async with running(engine):
            chunks = [engine.generate(request(prompt(5), temperature=1.0, max_tokens=100)) for _ in range(2)]
            await anext(chunks[0])
            waiting = asyncio.create_task(anext(chunks[1]))
            while not engine.stats().waiting:
                await asyncio.sleep(0.001)
            os.kill(started.process_id, signal.SIGKILL)
            with pytest.raises(EngineUnavailableError, match="was ended by SIGKILL"):
                async for _ in chunks[0]:
                    pass
            with pytest.raises(EngineUnavailableError, match="was ended by SIGKILL"):
                await waiting
            assert not engine.healthy
            with pytest.raises(EngineUnavailableError, match="SIGKILL"):
                await engine.retire_bundles(0)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (LENGTH.pack(2**32 - 1), "wanted at most"),
        (LENGTH.pack(10) + b"\x91\xa8Nonsense", "not a message to the engine"),
    ],
)
def test_bytes_that_are_no_message_end_the_child(sent: bytes, said: str) -> None:
    with child() as started:
        process = EngineProcess(started)
        process.end.sendall(sent)
        with pytest.raises(EngineProcessError, match=said):
            loaded_fingerprint(process)
        # It ends by itself.
        assert process.end.recv(1) == b""
        assert f"exit status {BAD_MESSAGE}" in process.close()


def test_a_model_that_is_none_is_refused_and_the_child_goes_on(tmp_path: Path) -> None:
    with child() as started:
        process = EngineProcess(started)
        begin_loading(process, tmp_path, dtype="float32")
        with pytest.raises(EmbeddedLoadError, match=r"no config\.json"):
            loaded_fingerprint(process)
        begin_loading(process, saved_tiny_model("llama", tmp_path), dtype="float32")
        assert loaded_fingerprint(process).startswith("sha256:")
        # Out of place: no engine was made.
        process.tell(Start())
        with pytest.raises(EngineProcessError, match="none was made"):
            loaded_fingerprint(process)


def test_a_child_that_ends_says_how(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.apart.spawning._MAIN", "import sys; sys.exit('no such thing')")
    with child() as started, pytest.raises(EngineProcessError, match=r"exit status 1; it said last: no such thing"):
        loaded_fingerprint(EngineProcess(started))
    assert "the engine's process: no such thing" in caplog.text


def test_a_child_ends_when_its_parent_closes_the_connection_whatever_it_does() -> None:
    # It is importing.
    with child() as started:
        time.sleep(0.3)
        assert started.close() == "the engine's process ended with exit status 0"


def test_a_child_ends_when_its_parent_is_killed() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        process_id = int(parent.stdout.readline())
        assert alive(process_id)
        # It listens once it runs; a parent that is gone before that is seen then.
        parent.kill()
    wait_until(lambda: not alive(process_id))
