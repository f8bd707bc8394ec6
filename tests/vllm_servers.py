"""vLLM's own server as a process, as an operator starts it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from vllm_engines import BLOCK, POSITIONS, Files

NAME = "tiny"
SMALL = {
    "dtype": "float32",
    "max-model-len": POSITIONS,
    "max-num-seqs": 8,
    "block-size": BLOCK,
    "kv-cache-memory-bytes": 64 * 2**20,
    "num-gpu-blocks-override": 128,
}
"""Settings of a tiny model's server."""

EAGER = ["--enforce-eager", *(text for name, value in SMALL.items() for text in (f"--{name}", str(value)))]


@contextmanager
def vllm_server(served: Files, log: Path, **environment: str) -> Iterator[str]:
    """Its URL, until the block ends.

    Args:
        served: model and bundles.
        log: file for what it says.
        environment: added to this process's.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(
            _command(served, port),
            env={**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _command(served: Files, port: int) -> list[str]:
    bundles = json.dumps({"scalpel": {"bundles": [str(path) for path in served.bundles]}})
    settings = {"model": served.directory, "served-model-name": NAME, "host": "127.0.0.1", "port": port}
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    start = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    return [*start, *EAGER, *flags, "--additional-config", bundles]


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise TimeoutError(log.read_text()[-4000:])
