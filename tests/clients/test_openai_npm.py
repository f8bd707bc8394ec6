"""The npm client `openai`, unchanged, over a real socket. It hands the report on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from serving.clients import NODE_FOLDER, answers_of, node_command
from serving.live import live, stub_state


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    command = [*node_command(), "program.mjs"]
    with live(stub_state()) as server:
        yield answers_of(command, NODE_FOLDER, f"{server.url}/v1")


def test_chat(seen: dict[str, Any]) -> None:
    assert (seen["chat"], seen["stream"], seen["helper"]) == ("Hello you", "Hello you", "Hello you")
    assert seen["report"]["applied"]["toxicity"] == {"strength": 0.5, "kind": "breaker", "reason": "request"}
    assert seen["headers"]["x-scalpel-applied"] == "toxicity=0.5;reason=request"
    reported = [report for report in seen["streamReports"] if report is not None]
    assert [report["tokens_steered"] for report in reported] == [3, 9]


def test_responses(seen: dict[str, Any]) -> None:
    assert (seen["responses"], seen["responsesHelper"]) == ("Hello you", "Hello you")
    assert seen["responsesReport"]["applied"]["toxicity"]["reason"] == "profile"
    assert (seen["events"][0], seen["events"][-1]) == ("response.created", "response.completed")
    assert seen["events"].count("response.output_text.delta") == 3


def test_moderations(seen: dict[str, Any]) -> None:
    assert seen["flagged"] == [True, False]
    assert (seen["categories"]["toxicity"], seen["categories"]["hate"]) == (True, None)


def test_models_and_refusals(seen: dict[str, Any]) -> None:
    assert seen["models"] == ["scalpel-demo", "scalpel-demo@off", "scalpel-demo@strict"]
    assert seen["refusals"] == [
        ["BadRequestError", 400, "previous_response_id"],
        ["NotFoundError", 404, "model"],
    ]


def test_what_is_installed_is_what_the_lock_file_names() -> None:
    lock = json.loads((NODE_FOLDER / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert set(packages) == {"node_modules/openai"}
    assert packages["node_modules/openai"]["integrity"].startswith("sha512-")
    # Where it comes from is the business of whoever installs it.
    assert "resolved" not in packages["node_modules/openai"]
