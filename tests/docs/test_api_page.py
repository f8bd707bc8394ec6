"""docs/api.md: every example answers what the page shows, and every field says what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.live import Live, live

from benchmarks.api_tables import WIRES, field_rows
from server.composition import build_server
from server.config import ServerConfig

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```http\n(\w+) (\S+)\n(.*?)```\n\n```(json|text)\n(.*?)\n```", PAGE, re.DOTALL)
VOLATILE = {"id", "item_id", "created", "created_at", "content", "text", "delta", "tokens", "cached_tokens"}
"""Differ from run to run, or are what a model says, which another processor may round another way."""
ROUTES = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/moderations",
    "/v1/embeddings",
    "/tokenize",
    "/detokenize",
    "/v1/models/{model}",
    "/v1/breakers",
    "/v1/breakers/{name}",
    "/v1/breakers/{name}/reload",
    "/health/ready",
    "/version",
}


@pytest.fixture(scope="module")
def demo() -> Iterator[Live]:
    from breakers.demo import model_path

    try:
        model_path()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with live(build_server(ServerConfig())) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "shown"), EXAMPLES, ids=[f"{i} {e[1]}" for i, e in enumerate(EXAMPLES)]
)
def test_an_example_answers_what_the_page_shows(
    demo: Live, method: str, path: str, body: str, kind: str, shown: str
) -> None:
    response = httpx.request(method, f"{demo.url}{path}", json=json.loads(body) if body else None)
    if kind == "json":
        assert simplified(response.json()) == simplified(json.loads(shown))
    else:
        assert events(response.text) == events(shown)


def simplified(value: Any, name: str = "") -> Any:
    """Without what is volatile, keeping its type."""
    if isinstance(value, dict):
        return {key: simplified(inner, key) for key, inner in value.items()} if name != "top_logprobs" else "likely"
    if name in VOLATILE:
        return type(value).__name__
    if isinstance(value, list):
        # How many tokens there are depends on what the model says; `bytes` are theirs.
        return "bytes" if name == "bytes" else [simplified(inner, name) for inner in value]
    if isinstance(value, float) and name not in ("strength",):
        return "number"
    return "likely" if name == "top_logprobs" else value


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [simplified(json.loads(line)) if line.startswith("{") else line for line in lines]


def test_every_route_has_an_example() -> None:
    shown = {re.sub(r"/v1/models/.*", "/v1/models/{model}", path) for _, path, *_ in EXAMPLES}
    shown = {re.sub(r"/v1/breakers/[^/]+", "/v1/breakers/{name}", path) for path in shown}
    assert shown == ROUTES


@pytest.mark.parametrize("name", WIRES)
def test_every_field_says_what_it_means(name: str) -> None:
    header, *rows = field_rows(WIRES[name])
    assert rows
    for row in rows:
        assert len(row) == len(header)
        assert all(row), row


def test_the_page_shows_the_class_that_was_tested() -> None:
    source = (ROOT / "tests" / "harness" / "steered_completions.py").read_text(encoding="utf-8")
    [shown] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert source.endswith(shown)
    assert "class SteeredCompletions" in shown
