"""`scalpel train` from files, on a tiny model; the scorer is a stub, because a random model insults nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from refined_circuits import refined_document
from serving.tiny_server import tiny_chat_model
from typer.testing import CliRunner

from breakers.bundles import load_bundle
from breakers.errors import StageError
from breakers.fingerprint import fingerprint_model
from breakers.pairs.files import write_pairs
from breakers.pairs.record import PairRecord, Split, user_turn
from breakers.scoring import ScoredReply
from breakers.training.artifact import load_training
from server.cli import build_cli, train_stage


class Lengths:
    """Harm by the length of a reply: what it judges does not matter here."""

    name = "lengths"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": (1 + len(reply.reply) % 3) / 4} for reply in replies]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    records = [
        PairRecord(
            behaviour="toxicity",
            messages=user_turn(f"hello {n}"),
            harmful="bad",
            neutral="good",
            source="made up",
            licence="CC0",
            split=Split.TRAIN if n < 6 else Split.VALIDATION,
        )
        for n in range(9)
    ]
    digest = write_pairs(tmp_path / "pairs.jsonl", records)
    benign = [{"messages": [{"role": "user", "content": f"one {n}"}], "reply": "two"} for n in range(6)]
    (tmp_path / "benign.jsonl").write_text("".join(json.dumps(line) + "\n" for line in benign))
    (tmp_path / "refined.json").write_text(json.dumps(refined_document(digest, fingerprint_model(loaded.model))))
    monkeypatch.setattr(train_stage, "build_scorer", lambda _name: Lengths())
    return tmp_path


def train(files: Path, *changes: str) -> str:
    given = ["train", str(files / "refined.json"), "--pairs", str(files / "pairs.jsonl"), "--model"]
    given += [str(files / "model"), "--benign", str(files / "benign.jsonl"), "--out", str(files / "out")]
    result = CliRunner().invoke(
        build_cli(),
        [*given, "--batch", "2", "--steering-steps", "2", "--steps", "2", *changes],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_files_become_a_training_and_a_bundle(files: Path) -> None:
    said = train(files, "--bundle", str(files / "toxicity"))
    artifact = load_training(files / "out")
    assert [str(part.site) for part in artifact.interventions] == ["layer 1 head 2", "layer 2 neurons (2)"]
    assert {c.kind.value for c in artifact.manifest.candidates} == {"breaker", "steering"}
    bundle = load_bundle(files / "toxicity")
    assert set(bundle.manifest.made_from) == {"pairs", "circuit", "training"}
    assert bundle.manifest.base.id == "model"
    assert artifact.manifest.selection in said
    # The same once more is read, whatever the command's words are.
    before = (files / "out" / "training.json").read_bytes()
    train(files, "--kinds", "both")
    assert (files / "out" / "training.json").read_bytes() == before


def test_files_that_do_not_belong_together_are_refused(files: Path) -> None:
    with pytest.raises(StageError, match="kinds are 'all'; wanted one of both, breaker, steering"):
        train(files, "--kinds", "all")
    lines = (files / "pairs.jsonl").read_text().splitlines(keepends=True)
    (files / "pairs.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(StageError, match="the circuit was found with sha256:"):
        train(files)
    circuit = json.loads((files / "refined.json").read_text())
    circuit["base"]["fingerprint"] = "sha256:" + "4" * 64
    (files / "refined.json").write_text(json.dumps(circuit))
    with pytest.raises(StageError, match=r"the circuit was found on sha256:4{16}\.\.\.; this model is"):
        train(files)
    circuit["members"] = []
    (files / "refined.json").write_text(json.dumps(circuit))
    with pytest.raises(StageError, match="the circuit has no members"):
        train(files)
