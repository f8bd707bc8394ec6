"""A hook that raises or gives NaN: those that it acts on get an error, never a reply without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import torch
from serving.live import live, wait_until
from serving.tiny_server import tiny_state

from breakers.runtime import TorchRuntime

BODY: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12}
STEERED = BODY | {"scalpel": {"breakers": {"toxicity": 1.0}}}
PLAIN = BODY | {"temperature": 0, "scalpel": {"profile": "off"}}


def raises(_z: torch.Tensor) -> torch.Tensor:
    raise ZeroDivisionError("in a hook")


def poisons(z: torch.Tensor) -> torch.Tensor:
    return z * float("nan")


@pytest.mark.parametrize(("fault", "told"), [(raises, "ZeroDivisionError"), (poisons, "not finite")])
def test_a_fault_inside_a_hook(
    fault: Callable[[torch.Tensor], torch.Tensor], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tiny_state()
    with live(state) as server, httpx.Client(base_url=f"{server.url}/v1", timeout=60) as http:
        plain = http.post("/chat/completions", json=PLAIN).json()["choices"]
        assert http.post("/chat/completions", json=STEERED).status_code == 200
        with monkeypatch.context() as patched:
            edit, calls = TorchRuntime.edit, 0

            def edited(runtime: TorchRuntime, point: Any, z: torch.Tensor, strengths: Any) -> torch.Tensor:
                nonlocal calls
                calls += 1
                # The first token comes out well: then the failure is in mid-stream.
                return fault(z) if calls > 2 else edit(runtime, point, z, strengths)

            patched.setattr(TorchRuntime, "edit", edited)
            streamed = http.post("/chat/completions", json=STEERED | {"stream": True, "ignore_eos": True})
            events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
            assert len(events) > 1
            assert "choices" in json.loads(events[0])
            error = json.loads(events[-1])["error"]
            assert error["code"] == "engine_failed"
            assert told in error["message"]
            whole = http.post("/chat/completions", json=STEERED)
            assert (whole.status_code, whole.json()["error"]["code"]) == (500, "engine_failed")
            assert http.post("/chat/completions", json=PLAIN).json()["choices"] == plain, "others go on"
        assert http.post("/chat/completions", json=STEERED).status_code == 200
        wait_until(lambda: state.engine.stats().running == 0)
        assert state.deployments.held == 0
