"""`scalpel serve` as a process, on a tiny model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from serving.live import wait_until
from serving.tiny_server import tiny_chat_model

ASK: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 200,
    "ignore_eos": True,
    "seed": 1,
}
LONG = ASK | {"n": 32, "stream": True}
"""Sixteen times the slots."""


@dataclass(frozen=True)
class Served:
    """A server process and where it listens."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.url}/health/ready", timeout=30)

    def stopped(self) -> str:
        """Its log, once it is over, and over well."""
        assert self.process.wait(60) == 0
        said = self.log.read_text()
        assert "Traceback" not in said
        return said


@contextmanager
def serve(directory: Path, *, own_group: bool = False, **settings: Any) -> Iterator[Served]:
    """Serve until the block ends; `own_group` puts the server and all that it starts into a process group."""
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(directory / "tiny")
    loaded.tokenizer.save_pretrained(directory / "tiny")
    config = {"classifier": {"member": "none"}, "engine": {"slots": 2}, "port": 0} | settings
    (directory / "scalpel.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", str(directory / "tiny")]
    log = directory / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--config", str(directory / "scalpel.yaml")],
            stderr=out,
            text=True,
            process_group=0 if own_group else None,
        )
    try:
        wait_until(lambda: process.poll() is not None or "address: " in log.read_text(), 120)
        found = re.search(r"address: (http://[^\s\"]+)", log.read_text())
        assert found is not None, log.read_text()
        yield Served(process=process, url=found[1], log=log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def streaming(server: Served) -> Iterator[Iterator[str]]:
    """The lines of a long stream that has begun."""
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=LONG, timeout=120) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: {")
        yield lines
