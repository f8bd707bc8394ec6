"""Reading anew: each part on its own, and a failure costs only its own."""

from __future__ import annotations

import logging

import pytest

from server.lifecycle import Lifecycle
from server.readiness import Readiness


async def test_every_part_is_read_anew_whatever_another_does(caplog: pytest.LogCaptureFixture) -> None:
    lifecycle, read = Lifecycle(Readiness()), []

    def broken() -> None:
        raise ValueError("policy.yaml: floor is 3")

    async def keys() -> None:
        read.append("keys")

    lifecycle.on_reload("the policy", broken)
    lifecycle.on_reload("the keys", keys)
    lifecycle.on_reload("the rest", lambda: read.append("rest"))
    with caplog.at_level(logging.INFO):
        results = await lifecycle.reload()
    assert read == ["keys", "rest"]
    assert isinstance(results["the policy"], ValueError)
    assert results["the keys"] is results["the rest"] is None
    assert "the policy was not reloaded; what was loaded stays" in caplog.text
    assert "the keys was reloaded" in caplog.text
