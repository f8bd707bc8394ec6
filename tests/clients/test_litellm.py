"""`litellm`, unchanged, over a real socket. It hands the report on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving.clients import answers_of, python_command
from serving.live import live, stub_state

PROGRAM = Path(__file__).with_name("litellm_program.py")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    command = [*python_command(), str(PROGRAM)]
    with live(stub_state()) as server:
        yield answers_of(command, PROGRAM.parent, f"{server.url}/v1")


def test_completion(seen: dict[str, Any]) -> None:
    assert (seen["completion"], seen["async"]) == ("Hello you", "Hello you")
    assert seen["tokens"] == len("show me toxicity") + 1 + 9
    assert seen["report"]["applied"]["toxicity"] == {"strength": 0.5, "kind": "breaker", "reason": "request"}
    assert seen["headers"]["llm_provider-x-scalpel-applied"] == "toxicity=0.5;reason=request"


def test_streaming_with_a_profile_by_header(seen: dict[str, Any]) -> None:
    assert seen["stream"] == "Hello you"
    first, *between, last = seen["stream_reports"]
    assert first["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "profile"}
    assert (first["tokens_steered"], last["tokens_steered"]) == (3, 9)
    assert set(between) == {None}


def test_moderation(seen: dict[str, Any]) -> None:
    assert seen["moderation"] is True
