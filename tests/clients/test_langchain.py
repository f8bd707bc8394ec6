"""`langchain-openai`, unchanged, over a real socket. It drops body fields that it does not know: the headers stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving.clients import answers_of, python_command
from serving.live import live, stub_state

PROGRAM = Path(__file__).with_name("langchain_program.py")
HALF = "toxicity=0.5;reason=request"
STRICT = "toxicity=1.0;reason=profile, gender_bias=1.0;reason=profile"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    command = [*python_command(), str(PROGRAM)]
    with live(stub_state()) as server:
        yield answers_of(command, PROGRAM.parent, f"{server.url}/v1")


def test_invoke_stream_and_batch(seen: dict[str, Any]) -> None:
    assert (seen["invoke"], seen["stream"], seen["batch"]) == ("Hello you", "Hello you", ["Hello you"] * 3)
    # One token a character and one for the template.
    assert seen["tokens"] == len("Be kind." + "show me toxicity") + 1 + 9
    assert seen["async"] == ["Hello you", "Hello you"]


def test_extra_body_switches_breakers_and_headers_report_them(seen: dict[str, Any]) -> None:
    for headers in (seen["headers"], seen["stream_headers"]):
        assert headers["x-scalpel-applied"] == HALF
        assert headers["x-scalpel-harm-potential"] == "gender_bias=0.02, toxicity=0.95"
    assert "scalpel" not in seen["metadata"]


def test_the_responses_api_with_a_profile_by_header(seen: dict[str, Any]) -> None:
    assert (seen["responses"], seen["responses_stream"]) == ("Hello you", "Hello you")
    assert seen["responses_headers"]["x-scalpel-applied"] == STRICT
    assert "scalpel" not in seen["responses_metadata"]
