"""What /metrics says, as Prometheus' own tool reads it."""

from __future__ import annotations

import shutil
import subprocess

import httpx
import pytest
from serving.live import live, stub_state

BODY = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "toxicity"}], "stream": True}

NO_TOOL = "promtool is not installed (Debian's package prometheus)"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason=NO_TOOL)
CHECK = ["promtool", "check", "metrics"]


@needs_promtool
def test_promtool_finds_nothing_to_say() -> None:
    with live(stub_state()) as server:
        httpx.post(f"{server.url}/v1/chat/completions", json=BODY)
        httpx.post(f"{server.url}/v1/chat/completions", json=BODY | {"model": "other"})
        exposed = httpx.get(f"{server.url}/metrics")
    checked = subprocess.run(CHECK, input=exposed.content, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@needs_promtool
def test_the_tool_would_have_something_to_say() -> None:
    bad = b"# TYPE requests counter\nrequests 1\n"
    checked = subprocess.run(CHECK, input=bad, capture_output=True, timeout=60, check=False)
    assert checked.returncode != 0
