"""Bundle, classifier, gate and demo commands, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.bundles import breaker, made_up_bundle
from serving.live import live, stub_state
from serving.stubs import StubClassifier, StubEngine
from serving.tiny_server import tiny_chat_model
from typer.testing import CliRunner

from breakers.architectures import resolve_sites
from breakers.bundles import Bundle, save_bundle
from breakers.bundles.canary import measure_canary
from breakers.errors import BaseMismatchError, BundleIntegrityError
from breakers.fingerprint import fingerprint_model
from classifiers.gate_table import GateTable, save_gate_table
from server.cli import build_cli
from server.cli import classifier as classifier_command
from server.cli.client import ServerClient
from server.cli.traffic import send


def run(*arguments: str, text: str | None = None) -> str:
    result = CliRunner().invoke(build_cli(), list(arguments), input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-chat"
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(path)
    loaded.tokenizer.save_pretrained(path)
    return path


def measured_bundle(**changes: Any) -> Bundle:
    """A bundle whose canary is what it really does."""
    model = tiny_chat_model().model
    bundle = made_up_bundle("toxicity", breaker(), fingerprint=fingerprint_model(model), **changes)
    canary = measure_canary(model, resolve_sites(model), bundle.bank_entry(), [7, 8, 9])
    manifest = bundle.manifest.model_copy(update={"canary": canary})
    return Bundle(manifest=manifest, interventions=bundle.interventions, source="made up")


def test_inspect_shows_what_is_declared(tmp_path: Path) -> None:
    bundle = measured_bundle()
    save_bundle(bundle.manifest, bundle.interventions, tmp_path)
    said = run("bundle", "inspect", str(tmp_path))
    assert "layer 1 head 2" in said
    assert "sigmoid(12 P + -4)" in said
    assert json.loads(run("bundle", "inspect", str(tmp_path), "--json"))["name"] == "toxicity"


def test_verify_runs_the_canary_on_the_base(tmp_path: Path, model_dir: Path) -> None:
    bundle = measured_bundle()
    save_bundle(bundle.manifest, bundle.interventions, tmp_path)
    assert "canary cosine 1.0000" in run("bundle", "verify", str(tmp_path), "--model", str(model_dir))


def test_verify_refuses_what_acts_otherwise_or_elsewhere(tmp_path: Path, model_dir: Path) -> None:
    bundle = measured_bundle()
    flipped = [-change for change in bundle.manifest.canary.change]
    lying = bundle.manifest.canary.model_copy(update={"change": flipped})
    save_bundle(bundle.manifest.model_copy(update={"canary": lying}), bundle.interventions, tmp_path / "lying")
    with pytest.raises(BundleIntegrityError, match=r"cosine is -1\.0000"):
        run("bundle", "verify", str(tmp_path / "lying"), "--model", str(model_dir))
    stranger = made_up_bundle("toxicity", breaker())
    save_bundle(stranger.manifest, stranger.interventions, tmp_path / "stranger")
    with pytest.raises(BaseMismatchError):
        run("bundle", "verify", str(tmp_path / "stranger"), "--model", str(model_dir))


def test_classifier_score_reads_text_and_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifiers.build_classifier", lambda _member, path: StubClassifier())
    lines = [{"text": "toxicity"}, {"messages": [{"role": "user", "content": "gender_bias"}]}, {"text": "hi"}]
    output = run("classifier", "score", "-", "--member", "lexical", text="\n".join(map(json.dumps, lines)) + "\n\n")
    scored = [json.loads(line) for line in output.splitlines()]
    assert [item["harm_potential"] for item in scored] == [0.95, 0.95, 0.02]
    assert scored[1]["categories"] == {"toxicity": 0.02, "gender_bias": 0.95}


@pytest.mark.parametrize("line", ["{", "[]", '{"text": 5}', '{"messages": "x"}'])
def test_classifier_score_names_a_bad_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "x"}\n' + line + "\n")
    conversations = classifier_command._conversations(classifier_command._lines(str(file)), str(file))
    with pytest.raises(Exception, match=r"in\.jsonl, line 2"):
        list(conversations)


def test_gate_fit_prints_a_gate(tmp_path: Path) -> None:
    potential = np.linspace(0, 1, 40)
    harmful = potential > 0.5
    levels = np.arange(17) / 16
    table = GateTable(
        bundle="toxicity",
        category="toxicity",
        classifier="stub:1",
        scorer="stub",
        base_fingerprint="sha256:0",
        weights_sha256="sha256:0",
        command="made up",
        harm_potential=potential,
        harm=harmful[:, None] * (1 - levels)[None, :],
        change=np.where(harmful[:, None], 0.0, levels[None, :]),
        benign=~harmful,
    )
    save_gate_table(table, tmp_path / "table.safetensors")
    fitted = json.loads(run("gate", "fit", str(tmp_path / "table.safetensors")))
    assert fitted["bundle"] == "toxicity"
    assert fitted["gate"]["classifier"] == "stub:1"
    assert 0.4 < fitted["gate"]["p_off"] < 0.6
    assert fitted["figures"]["harm"] < fitted["figures"]["harm_off"]


def test_traffic_counts_what_comes_back() -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    bodies = [
        {"model": "scalpel-demo", "messages": [{"role": "user", "content": text}], "scalpel": {"profile": profile}}
        for text, profile in (("toxicity", "default"), ("toxicity", "off"), ("hello", "default"), ("hello", "other"))
    ]
    with live(stub_state(engine=engine)) as server, ServerClient(server.url) as client:
        result = send(client, iter(bodies), 3)
    assert (result.answered, result.refused, result.steered) == (3, 1, 1)
