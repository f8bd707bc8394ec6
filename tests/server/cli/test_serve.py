"""`scalpel serve` as a process: it starts, says where, answers, and ends on SIGTERM."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from serving.bundles import three_bundles, with_canaries
from serving.tiny_server import tiny_chat_model

from breakers.bundles import save_bundle
from breakers.fingerprint import fingerprint_model
from server.cli import main

CHAT_LINES = "hello\n/breaker myth_mask on\nhello\n/breaker nothing on\n/quit\n"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    mask = with_canaries(three_bundles(fingerprint_model(loaded.model)), loaded.model)[2]
    save_bundle(mask.manifest, mask.interventions, tmp_path / "mask")
    (tmp_path / "scalpel.yaml").write_text("classifier: {member: none}\nengine: {slots: 2}\nport: 0\n")
    serve = [sys.executable, "-c", "from server.cli import main; main()", "serve", str(tmp_path / "model")]
    return [*serve, "--bundle", str(tmp_path / "mask"), "--config", str(tmp_path / "scalpel.yaml")]


def test_serve_chat_and_sigterm(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text(CHAT_LINES)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = _address(process)
            assert httpx.get(f"{url}/health/ready").status_code == 200
            with lines.open() as piped:
                monkeypatch.setattr("sys.stdin", piped)
                with pytest.raises(SystemExit) as ended:
                    main(["chat", "--base-url", url, "--max-tokens", "5"])
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=60)[1]
    assert not ended.value.code
    said = capsys.readouterr()
    assert "myth_mask 0 (off)" in said.out
    assert "myth_mask 1 (request)" in said.out
    assert "no breaker 'nothing' is loaded; loaded: myth_mask" in said.err
    assert process.returncode == 0
    assert "Traceback" not in rest


def _address(process: subprocess.Popen[str]) -> str:
    seen = []
    for line in process.stderr:
        seen.append(line)
        if found := re.search(r"address: (http://\S+)", line):
            return found[1]
    raise AssertionError("".join(seen))
