"""A whole recipe on the demo model: resumed, verified as a chain, and served."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from breakers.bundles import load_bundle
from server.cli import main

SMALL = """
format: 1
name: small
behaviour: toxicity
licence: Apache-2.0
pairs: {count: 60}
trace: {limit: 8, top_heads: 4, top_neurons: 8, noise_components: 0, images: false}
refine: {tau: 0.5, cases: 8, held_out: 8, draws: 2, subsets: 2, benign_limit: 16}
train: {steps: 20, steering_steps: 10, prompts: 8, benign_limit: 60, harm_reduction: 0.1}
gate: {prompts: 6}
"""
STAGES = ["pairs", "trace", "refine", "train", "gate", "bundle"]

pytestmark = pytest.mark.slow


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def work(recipe: Path) -> Path:
    """The stages' folder of a run that was interrupted once while it trained."""
    folder = recipe.parent / "work"
    command = [sys.executable, "-c", "from server.cli import main; main()", "recipe", "run", str(recipe)]
    command += ["--work", str(folder)]
    # A shell's background jobs, and what they start, ignore SIGINT unless told otherwise.
    told = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=told) as first:
        while not (folder / ".train.partial").exists():
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        said = "" if first.stderr is None else first.stderr.read()
    assert first.returncode == 130
    assert "finished stages" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in folder.iterdir() if path.name in STAGES) == sorted(STAGES[:3])
    before = {name: (folder / name / "stage.json").read_bytes() for name in STAGES[:3]}
    subprocess.run(command, check=True, capture_output=True)
    # What was finished was not made again.
    assert {name: (folder / name / "stage.json").read_bytes() for name in STAGES[:3]} == before
    return folder


def test_every_stage_is_recorded(work: Path) -> None:
    assert sorted(path.name for path in work.iterdir() if not path.name.startswith(".")) == sorted(STAGES)
    assert not [path for path in work.iterdir() if path.name.endswith((".partial", ".old"))]


def test_the_bundle_has_a_gate_and_names_its_chain(work: Path) -> None:
    bundle = load_bundle(work / "bundle" / "small")
    assert bundle.manifest.gate is not None
    assert set(bundle.manifest.made_from) >= {"pairs", "circuit", "training", "gate"}


def test_the_chain_is_recomputed(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", "verify", str(work / "bundle" / "small"), "--chain", str(work)) == 0
    assert "the chain in" in capsys.readouterr().out
    other = tmp_path / "work"
    shutil.copytree(work, other)
    lines = (other / "pairs" / "pairs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (other / "pairs" / "pairs.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    assert run("bundle", "verify", str(work / "bundle" / "small"), "--chain", str(other)) == 2
    assert "pairs.jsonl: not as stage pairs left them" in capsys.readouterr().err


def test_a_bundle_of_another_chain_is_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(work / "bundle" / "small", bundle)
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    manifest["made_from"]["circuit"] = "sha256:" + "0" * 64
    (bundle / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert run("bundle", "verify", str(bundle), "--chain", str(work)) == 2
    assert "was made from circuit sha256:000" in capsys.readouterr().err


def test_another_gate_needs_no_other_training(recipe: Path, work: Path, tmp_path: Path) -> None:
    other = tmp_path / "work"
    shutil.copytree(work, other)
    changed = tmp_path / "small.yaml"
    changed.write_text(SMALL.replace("gate: {prompts: 6}", "gate: {prompts: 5}"), encoding="utf-8")
    before = {name: (other / name / "stage.json").read_bytes() for name in STAGES}
    assert run("recipe", "run", str(changed), "--work", str(other), "--out", str(tmp_path / "out")) == 0
    after = {name: (other / name / "stage.json").read_bytes() for name in STAGES}
    assert [name for name in STAGES if before[name] != after[name]] == ["gate", "bundle"]
    assert load_bundle(tmp_path / "out").manifest == load_bundle(other / "bundle" / "small").manifest
