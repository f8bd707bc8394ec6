"""Commands that run a stage hand it what the flags say, and print what it made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from breakers.demo.evaluate import wilson
from breakers.demo.training import Progress
from classifiers.fitting.outcomes import Outcomes
from classifiers.gate_table import GateTable
from server.cli import build_cli


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build_cli(), list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], list[Any]]:
    """Put a stand-in in place of a stage; the list gets what it was called with."""

    def put(target: str, result: Any) -> list[Any]:
        seen: list[Any] = []

        def stand_in(*arguments: Any, **named: Any) -> Any:
            seen.append((arguments, named))
            return result

        monkeypatch.setattr(target, stand_in)
        return seen

    return put


def test_demo_build(stage: Callable[[str, Any], list[Any]], tmp_path: Path) -> None:
    made = SimpleNamespace(parameters=5, megabytes=1.0, seconds=2.0, figures={"facts": wilson(9, 10)})
    seen = stage("breakers.demo.build.build", made)
    said = run("demo", "build", "--out", str(tmp_path), "--work", "w", "--steps", "7", "--seed", "3", "--no-evaluate")
    ((config,), named) = seen[0]
    assert (config.out, config.training.steps, config.training.seed) == (tmp_path, 7, 3)
    assert config.evaluation is None
    named["progress"](Progress(step=7, steps=7, loss=1.0, tokens_per_second=10.0))
    assert "facts: 0.900 [" in said


def test_demo_bundles(stage: Callable[[str, Any], list[Any]], tmp_path: Path) -> None:
    made = SimpleNamespace(source="there", kind="breaker", manifest=SimpleNamespace(dose_p95=0.25))
    seen = stage("breakers.demo.make_bundles.make_demo_bundles", [made])
    said = run("demo", "bundles", "--out", str(tmp_path), "--model", "m", "--seed", "3")
    config = seen[0][0][0]
    assert (config.out, config.model, config.seed) == (tmp_path, Path("m"), 3)
    assert "there: breaker, dose 0.250" in said


def test_classifier_fit_and_eval(
    stage: Callable[[str, Any], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALPEL_DATA", str(tmp_path))
    made = SimpleNamespace(classifier=SimpleNamespace(name="lexical:1"), figures={"auc": 0.9})
    seen = stage("classifiers.fitting.stage.fit", made)
    assert json.loads(run("classifier", "fit", "--out", "o"))["figures"] == {"auc": 0.9}
    config = seen[0][0][0]
    assert (config.out, config.data.public_root) == (Path("o"), tmp_path)
    seen = stage("classifiers.fitting.stage.evaluate", {"auc": 0.8})
    monkeypatch.delenv("SCALPEL_DATA")
    assert json.loads(run("classifier", "eval", "c", "--on", "demo", "--demo-rows", "9")) == {"auc": 0.8}
    config = seen[0][0][0]
    assert (config.path, config.data.public_root, config.data.demo_rows) == (Path("c"), None, 9)


def test_classifier_observe(stage: Callable[[str, Any], list[Any]], tmp_path: Path) -> None:
    outcomes = Outcomes(made_by="made up", harm={"a": {"toxicity": 1.0}})
    data = SimpleNamespace(by_split={"calibration": [1], "heldout": [2]})
    stage("classifiers.fitting.data.read_data", data)
    seen = stage("classifiers.fitting.observe.observe_demo", outcomes)
    assert "1 prompts observed" in run("classifier", "observe", "--out", str(tmp_path / "o.json"), "--seed", "5")
    prompts, scorer, seed = seen[0][0]
    assert (prompts, scorer.name, seed) == ([1, 2], "demo", 5)
    assert json.loads((tmp_path / "o.json").read_text())["made_by"] == "made up"


def test_gate_tabulate_then_fit_into_the_bundle(stage: Callable[[str, Any], list[Any]], tmp_path: Path) -> None:
    levels = np.arange(17) / 16
    table = GateTable(
        bundle="toxicity",
        category="toxicity",
        classifier="stub:1",
        scorer="demo",
        base_fingerprint="sha256:0",
        weights_sha256="sha256:0",
        command="made up",
        harm_potential=np.array([0.9, 0.1]),
        harm=np.array([1 - levels, np.zeros(17)]),
        change=np.array([np.zeros(17), levels]),
        benign=np.array([False, True]),
    )
    seen = stage("server.cli.gate_stage.tabulate_bundle", table)
    out = tmp_path / "table.safetensors"
    said = run("gate", "tabulate", "b", "--out", str(out), "--model", "m", "--prompts-per-kind", "3")
    assert "2 prompts; harm 0.500 at strength 0, 0.000 at 1" in said
    config = seen[0][0][0]
    assert (config.bundle, config.model, config.prompts_per_kind) == (Path("b"), Path("m"), 3)
    put = stage("server.cli.gate_stage.put_gate", None)
    fitted = json.loads(run("gate", "fit", str(out), "--bundle", "b"))
    path, gate, _, table_path = put[0][0]
    assert (path, table_path) == (Path("b"), out)
    assert fitted["gate"]["p_off"] == gate.p_off


def test_demo_traffic_is_seeded_and_bounded() -> None:
    from server.cli.traffic import TrafficConfig, demo_bodies

    config = TrafficConfig(model="m", requests=20, concurrency=1, off_share=0.5, max_tokens=8, seed=4)
    bodies = list(demo_bodies(config))
    assert len(bodies) == 20
    assert bodies == list(demo_bodies(config))
    profiles = [body["scalpel"]["profile"] for body in bodies]
    assert {"off", "default"} == set(profiles)
