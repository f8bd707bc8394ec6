"""Programs around other people's clients: run in an environment of theirs, against a server of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
"""Interpreter of the clients that cannot share our environment; `make clients` makes it."""
NODE_FOLDER = ROOT / "tests" / "clients_node"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def python_command() -> list[str]:
    """The clients' interpreter; skips the test where it is missing."""
    if not PYTHON.exists():
        pytest.skip(f"no {PYTHON.relative_to(ROOT)}; make it with `make clients`")
    return [str(PYTHON)]


def node_command() -> list[str]:
    """Node; skips the test where it or the npm client is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")
    if not (NODE_FOLDER / "node_modules" / "openai").exists():
        pytest.skip("the npm client is not installed; install it with `make clients`")
    return [node]


def output_of(command: Sequence[str], folder: Path, *, base_url: str = "", seconds: float = 120.0) -> str:
    """What a program prints.

    Args:
        command: the program.
        folder: where it runs.
        base_url: of the server's API, `/v1` included; the program finds it as BASE_URL.
        seconds: after which it is ended, and the test fails.
    """
    environment = {name: value for name, value in os.environ.items() if name not in PROXIES}
    # litellm would otherwise fetch a list of prices when it is imported.
    environment |= {"BASE_URL": base_url, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers_of(command: Sequence[str], folder: Path, base_url: str) -> dict[str, Any]:
    """What a program found out: the JSON object that it prints last."""
    return json.loads(output_of(command, folder, base_url=base_url).splitlines()[-1])
