"""Real members that fail while serving: full strength, and a counted error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from serving.live import Live, live, stub_state
from tiny_members import (
    RemoteGuard,
    moderation_answer,
    remote_config,
    remote_guard,
    write_config,
    write_embedding,
)

from classifiers import build_classifier
from classifiers.base import HarmClassifier
from classifiers.calibration import TemperatureCard
from classifiers.ensemble import EnsembleCard, EnsemblePartCard, save_ensemble
from classifiers.remote import RemoteClassifier
from server.composition import build_server
from server.config import ServerConfig

BUNDLES = ("gender_bias", "toxicity")
MAP = {"harassment": "toxicity", "violence": "gender_bias"}


@pytest.fixture
def guard() -> Iterator[RemoteGuard]:
    with remote_guard() as running:
        yield running


def remote(path: Path, guard: RemoteGuard, **changes: Any) -> HarmClassifier:
    config = remote_config(guard.url, categories=MAP, cache={"entries": 0}, **changes)
    built = build_classifier("remote", path=write_config(path, "remote", config))
    assert isinstance(built, RemoteClassifier)
    guard.asking.append(built)
    return built


def ask(server: Live) -> dict[str, Any]:
    body = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "nice to meet you"}]}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert response.status_code == 200
    report: dict[str, Any] = response.json()["scalpel"]
    return report


def failures(server: Live, reason: str) -> float | None:
    return server.state.metrics.registry.get_sample_value("scalpel_classifier_failures_total", {"reason": reason})


def check_full_strength(server: Live, reason: str) -> None:
    before = failures(server, reason)
    report = ask(server)
    assert {report["applied"][name]["reason"] for name in BUNDLES} == {"classifier_failed"}
    gates = server.state.deployments.current.planner.bundles
    for name in BUNDLES:
        gate = gates[name].gate
        assert gate is not None
        assert report["applied"][name]["strength"] == gate.alpha_base
    assert failures(server, reason) == before + 1


def test_a_remote_guard_that_answers_decides(guard: RemoteGuard, tmp_path: Path) -> None:
    with live(stub_state(classifier=remote(tmp_path, guard))) as server:
        report = ask(server)
    assert {report["applied"][name]["reason"] for name in BUNDLES} <= {"gate", "off"}
    assert set(report["harm_potential"]) == {"toxicity", "gender_bias"}


@pytest.mark.parametrize(
    "reply",
    [
        (500, "broken"),
        (401, "who are you"),
        (200, "no json"),
        (200, moderation_answer([float("nan")])),
        (200, {"results": []}),
    ],
)
def test_a_remote_guard_that_answers_nonsense_means_full_strength(
    guard: RemoteGuard, tmp_path: Path, reply: tuple[int, object]
) -> None:
    with live(stub_state(classifier=remote(tmp_path, guard))) as server:
        guard.replies = [reply] * 3  # as often as it is tried
        check_full_strength(server, "error")
        guard.replies = []
        assert ask(server)["applied"]["toxicity"]["reason"] != "classifier_failed"


@pytest.mark.parametrize(
    ("member_seconds", "server_seconds", "reason"), [(0.2, 30.0, "error"), (30.0, 0.3, "timeout")]
)
def test_a_remote_guard_that_stalls_means_full_strength(
    guard: RemoteGuard, tmp_path: Path, member_seconds: float, server_seconds: float, reason: str
) -> None:
    released = threading.Event()

    def stall(_: BaseHTTPRequestHandler) -> None:
        released.wait(30)

    guard.replies = [stall]
    classifier = remote(tmp_path, guard, timeout_seconds=member_seconds)
    try:
        with live(stub_state(classifier=classifier, classifier_timeout_seconds=server_seconds)) as server:
            check_full_strength(server, reason)
    finally:
        released.set()


def embedding(path: Path) -> HarmClassifier:
    calibration = {name: TemperatureCard() for name in ("toxicity", "gender_bias")}
    write_embedding(path, categories=("toxicity", "gender_bias"), calibration=calibration)
    return build_classifier("embedding", path=path)


def ensemble(path: Path) -> HarmClassifier:
    embedding(path / "embedding")
    categories = ("toxicity", "gender_bias")
    part = EnsemblePartCard(member="embedding", path="embedding", weights=dict.fromkeys(categories, 1.0))
    calibration = {name: TemperatureCard() for name in categories}
    save_ensemble(EnsembleCard(categories=categories, parts=(part,), calibration=calibration), path)
    return build_classifier("ensemble", path=path)


@pytest.mark.parametrize("build", [embedding, ensemble])
def test_a_head_of_nan_means_full_strength(build: Callable[[Path], HarmClassifier], tmp_path: Path) -> None:
    classifier = build(tmp_path)
    head = getattr(classifier, "parts", (classifier,))[0].tensors
    with live(stub_state(classifier=classifier)) as server:
        assert ask(server)["applied"]["toxicity"]["reason"] != "classifier_failed"
        head.weights[:] = np.nan
        check_full_strength(server, "error")


@pytest.mark.parametrize("member", ["lexical", "embedding", "ensemble", "cascade", "sequence", "remote"])
def test_a_server_whose_members_files_are_missing_does_not_start(member: str, tmp_path: Path) -> None:
    from classifiers.errors import ClassifiersError
    from server.cli.failures import BAD_INPUT, exit_status

    tiny = Path(__file__).parents[2]  # any directory: the classifier is looked at before the model
    config = ServerConfig.model_validate(
        {"model": str(tiny), "engine": {"process": "same"}, "classifier": {"member": member, "path": tmp_path}}
    )
    with pytest.raises(ClassifiersError, match=str(tmp_path)) as refused:
        build_server(config)
    assert exit_status(refused.value) == BAD_INPUT
