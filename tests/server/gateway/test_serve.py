"""`scalpel serve --upstream` as a process: it starts and ends well, or does not start and says why."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from serving.gateways import canaried
from serving.live import wait_until
from serving.scripted_upstream import ScriptedUpstream, running

from breakers.bundles import open_bundle, save_bundle

ASK = {"model": "tiny@strict", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def saved(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / bundle.name for bundle in canaried()]
    for bundle, path in zip(canaried(), paths, strict=True):
        save_bundle(bundle.manifest, bundle.interventions, path)
    return paths


def command(upstream: ScriptedUpstream, bundles: Sequence[Path]) -> list[str]:
    named = [text for path in bundles for text in ("--bundle", str(path))]
    start = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--upstream", f"{upstream.url}/v1"]
    return [*start, "--port", "0", *named]


def test_it_serves_until_sigterm(saved: list[Path], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        running(ScriptedUpstream(bundles=[open_bundle(str(path)) for path in saved])) as upstream,
        log.open("w") as out,
        subprocess.Popen(command(upstream, saved), stderr=out) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or "address: " in log.read_text(), 120)
            found = re.search(r"address: (http://\S+)", log.read_text())
            assert found is not None, log.read_text()
            answer = httpx.post(f"{found[1]}/v1/chat/completions", json=ASK, timeout=30)
            assert answer.json()["scalpel"]["applied"]["toxicity"]["strength"] == 1.0
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
    assert "proof: canary:toxicity" in log.read_text()


def test_it_does_not_start_in_front_of_a_server_without_the_plugin(saved: list[Path]) -> None:
    with running(ScriptedUpstream(bundles=(), plugin=False)) as upstream:
        ended = subprocess.run(command(upstream, saved), capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr.rstrip().splitlines()[-1].startswith(f"scalpel: {upstream.url} answers a request whose plan")
    assert "would serve unsteered" in ended.stderr
    assert "Traceback" not in ended.stderr
