"""The command line starts light, and says what is wrong in one sentence."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli import main

HEAVY = ("torch", "transformers", "fastapi", "uvicorn", "numpy", "httpx", "yaml", "prometheus_client")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def scalpel(*arguments: str) -> int:
    """Run a command in this process; its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["bundle", "--help"], ["pairs", "build", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    ran = python(
        "import sys\nfrom server.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert scalpel("--help") == 0
    said = capsys.readouterr().out
    assert all(group in said for group in ("serve", "chat", "bundle", "demo", "gate", "classifier", "pairs"))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["serve", "--host", "0.0.0.0"], 2, "--insecure-no-keys"),
        (["serve", "--slots", "0"], 2, "engine.slots"),
        (["serve", "--no-bundles", "--bundle", "x"], 2, "wanted one of them"),
        (["serve", "--config", "/nowhere.yaml"], 2, "/nowhere.yaml: cannot be read"),
        (["serve", "--slots", "many"], 2, "valid integer"),
        (["nothing"], 2, "No such command"),
        (["bundle", "inspect", "/nowhere"], 2, "bundle.json"),
        (["classifier", "score", "/nowhere.jsonl"], 1, "/nowhere.jsonl: cannot be read"),
        (["classifier", "score", "-", "--member", "oracle"], 2, "'oracle' is not known"),
        (["gate", "fit", "/nowhere.safetensors"], 2, "not a gate table"),
        (["chat", "--base-url", "http://127.0.0.1:9"], 1, "is `scalpel serve` running there?"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_status(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scalpel(*arguments) == status
    assert said in capsys.readouterr().err


def test_an_address_in_use_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert scalpel("serve", str(tmp_path), "--port", str(taken.getsockname()[1])) == 2
    assert "cannot bind to 127.0.0.1 port" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("server.running.run_server", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["serve"])
