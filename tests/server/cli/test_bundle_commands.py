"""`scalpel bundle` and `serve --bundle` on good and hostile bundles: a result, or one sentence and exit status 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_attacks import ATTACKS
from bundle_files import save_good
from hub_stand_in import StandInHub, environment

from server.cli import main

NAME = "someone/calm"

# The client's own upload warns of the HTTP library that it uses.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    save_good(tmp_path / "calm")
    return tmp_path / "calm"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["verify", "inspect"])
@pytest.mark.parametrize("name", ["manifest cut short", "pickle beside", "NaN in a tensor", "weights a pipe"])
def test_attacks_are_one_sentence(bundle: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ATTACKS[name].damage(bundle)
    assert run("bundle", command, str(bundle)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(rf"scalpel: {re.escape(str(bundle))}[^\n]*\n", said.err)
    assert re.search(ATTACKS[name].message, said.err)


@pytest.mark.parametrize("reference", ["hf://calm", "hf:/someone/calm", "s3://someone/calm"])
def test_references_that_are_none_are_one_sentence(reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", "verify", reference) == 2
    assert re.fullmatch(rf"scalpel: '{reference}' is no [^\n]*hf://owner/name[^\n]*\n", capsys.readouterr().err)


def test_push_inspect_and_verify(hub: StandInHub, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", "push", str(bundle), f"hf://{NAME}", "--revision", "next", "--private") == 0
    first, pinned = capsys.readouterr().out.splitlines()
    assert first == "pushed calm (bundle.json, weights.safetensors, card.md)"
    assert pinned == f"hf://{NAME}@{hub.repositories[NAME].branches['next']}"
    assert run("bundle", "inspect", f"hf://{NAME}@next") == 0
    assert re.search(rf"^source: +{pinned}$", capsys.readouterr().out, re.MULTILINE)
    assert run("bundle", "verify", pinned) == 0
    assert f"verify ({pinned})" in capsys.readouterr().out
    assert run("bundle", "push", str(bundle), f"hf://{NAME}@a", "--revision", "b") == 2
    assert "both name a branch" in capsys.readouterr().err
    assert run("bundle", "push", str(bundle), NAME) == 2
    assert "wanted hf://owner/name" in capsys.readouterr().err


def test_processes_honour_the_environment_and_end_with_a_sentence(
    hub: StandInHub, bundle: Path, tmp_path: Path
) -> None:
    def process(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from server.cli import main; main()", *arguments]
        environ = os.environ | environment(hub.url, tmp_path / "home")
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)

    done = process("bundle", "push", str(bundle), f"hf://{NAME}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"hf://{NAME}@{hub.repositories[NAME].branches['main']}"
    hub.repositories[NAME].commit({"weights.safetensors": b""})
    refused = process("serve", "nowhere", "--port", "0", "--classifier", "none", "--bundle", f"hf://{NAME}@main")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert re.search(rf"^scalpel: hf://{NAME}@[0-9a-f]{{40}}/weights\.safetensors: is sha256:", refused.stderr, re.M)


def test_serve_takes_the_pin_as_a_flag(hub: StandInHub, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--port", "0", "--classifier", "none", "--require-pinned-bundles"]
    assert run("serve", "nowhere", *flags, "--bundle", f"hf://{NAME}@main") == 2
    assert "pinned bundles are required, and it has the revision 'main'" in capsys.readouterr().err
    assert not hub.requests
