"""vLLM's server as a child, with a small program in its place: started again, heard, and never left behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from serving.live import wait_until

from server.errors import ConfigError
from server.gateway.supervised.command import (
    SupervisedSettings,
    check_arguments,
    command_of,
    environment_of,
    interpreter,
)
from server.gateway.supervised.server import SupervisedServer, pause_before

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to find children in")

PROGRAM = """#!{python}
import os, subprocess, sys, time
print("(APIServer pid=7) WARNING 11-24 02:03:04 [loader.py:1] slow disk", flush=True)
print("\\x1b[0;36m(APIServer pid=7)\\x1b[0;0m no level here", flush=True)
worker = subprocess.Popen(["sleep", "600"])
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}} {{worker.pid}} {{sys.argv[1]}}\\n")
{then}
"""


def alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Program:
    """Stands where the interpreter would."""

    def __init__(self, directory: Path, then: str) -> None:
        self.log = directory / "log"
        self.path = directory / "python"
        self.path.write_text(PROGRAM.format(python=sys.executable, log=str(self.log), then=then))
        self.path.chmod(0o755)

    def runs(self) -> list[tuple[int, int]]:
        """Process ids of the server and its worker, for each start."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def server(self) -> SupervisedServer:
        settings = SupervisedSettings(python=self.path, model="m", served_name="n", bundles=[])
        return SupervisedServer(settings)


def test_it_and_all_that_it_started_end_with_the_block(tmp_path: Path) -> None:
    program = Program(tmp_path, "time.sleep(600)")
    with program.server() as server:
        wait_until(program.runs)
        ((process, worker),) = program.runs()
        assert alive(process)
        assert alive(worker)
        assert server.socket_file.parent.stat().st_mode & 0o077 == 0
    wait_until(lambda: not alive(process) and not alive(worker))
    assert not server.socket_file.parent.exists()


def test_one_that_does_not_end_when_told_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.gateway.supervised.server.GRACE_SECONDS", 0.2)
    program = Program(tmp_path, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    with program.server():
        wait_until(program.runs)
        ((process, worker),) = program.runs()
    wait_until(lambda: not alive(process) and not alive(worker))


def test_one_that_ends_before_it_was_good_is_not_started_again(tmp_path: Path) -> None:
    program = Program(tmp_path, "print('no such model'); sys.exit(3)")
    with program.server() as server:
        wait_until(lambda: server.ended)
        assert server.last_lines.endswith("\nno such model")
        assert server.starts == 1
    ((_, worker),) = program.runs()
    wait_until(lambda: not alive(worker))


def test_one_that_was_good_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = Program(tmp_path, "time.sleep(600)")
    with caplog.at_level(logging.INFO), program.server() as server:
        wait_until(program.runs)
        server.keep_running()
        ((process, worker),) = program.runs()
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: len(program.runs()) == 2)
        # What it left is gone before the next one needs its place.
        wait_until(lambda: not alive(worker))
        assert server.starts == 2
    said = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert ("vllm", "WARNING", "(APIServer pid=7) [loader.py:1] slow disk") in said
    assert ("vllm", "INFO", "(APIServer pid=7) no level here") in said
    assert any("ended with exit status 137" in text for _, _, text in said)


def test_what_ends_early_is_started_later_each_time() -> None:
    assert [pause_before(ends) for ends in (1, 2, 3, 4, 9, 50)] == [0.0, 1.0, 2.0, 4.0, 60.0, 60.0]


def test_a_gateway_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    program = Program(tmp_path, "time.sleep(600)")
    holding = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from server.gateway.supervised.command import SupervisedSettings\n"
        "from server.gateway.supervised.server import SupervisedServer\n"
        "settings = SupervisedSettings(python=Path(sys.argv[2]), model='m', served_name='n', bundles=[])\n"
        "with SupervisedServer(settings): time.sleep(600)\n"
    )
    package = str(Path(__file__).parents[3])
    with subprocess.Popen([sys.executable, "-c", holding, package, str(program.path)]) as gateway:
        wait_until(program.runs, 60)
        ((process, worker),) = program.runs()
        gateway.kill()
    wait_until(lambda: not alive(process) and not alive(worker))


def test_the_command_line() -> None:
    settings = SupervisedSettings(
        python=Path("/p/python"),
        model="/m",
        served_name="n",
        bundles=["/b"],
        accept_base_mismatch=["x"],
        max_model_len=64,
        arguments=["--enforce-eager"],
    )
    assert command_of(settings, Path("/s")) == [
        *("/p/python", "-m", "vllm.entrypoints.openai.api_server", "--disable-uvicorn-access-log"),
        *("--model", "/m", "--served-model-name", "n", "--uds", "/s", "--max-model-len", "64"),
        *("--additional-config", '{"scalpel": {"bundles": ["/b"], "accept_base_mismatch": ["x"]}}'),
        "--enforce-eager",
    ]


def test_the_environment() -> None:
    found = environment_of({"VLLM_API_KEY": "k", "VLLM_NO_USAGE_STATS": "0", "PATH": "/bin"})
    assert found == {"VLLM_NO_USAGE_STATS": "0", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1", "PATH": "/bin"}


@pytest.mark.parametrize("argument", ["--port", "--additional-config={}", "--additional_config", "--api-key"])
def test_arguments_that_would_lead_round_the_gateway(argument: str) -> None:
    with pytest.raises(ConfigError, match="the gateway sets these itself"):
        check_arguments(["--enforce-eager", argument, "1"])


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no interpreter; wanted one of an environment with vLLM"):
        interpreter(tmp_path / "python")
    assert interpreter(Path(sys.executable)) == Path(sys.executable).absolute()
