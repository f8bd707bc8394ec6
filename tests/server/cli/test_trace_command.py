"""`scalpel trace` on a tiny model: what it writes, and how each mistake ends in one sentence."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from serving.tiny_server import tiny_chat_model

from breakers.pairs.files import load_pairs, pairs_sha256, write_pairs
from breakers.pairs.record import PairRecord, Split, user_turn
from breakers.tracing.artifact import load_trace
from breakers.tracing.circuit_file import MeasureKind, TraceMethod
from server.cli import main, trace_stage
from server.cli import trace as trace_command

QUICK = ["--top", "2", "--top-neurons", "2", "--noise-components", "0", "--no-images"]


def record(
    prompt: str, *, behaviour: str = "toxicity", split: Split = Split.TRAIN, contrast: str | None = ""
) -> PairRecord:
    if contrast == "":
        contrast = prompt[:-1] + "z"
    return PairRecord(
        behaviour=behaviour,
        messages=user_turn(prompt),
        harmful="you bad",
        neutral="so sorry",
        contrast_prompt=None if contrast is None else user_turn(contrast),
        source="made-up",
        licence="CC0-1.0",
        split=split,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and pairs."""
    path = tmp_path_factory.mktemp("trace")
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(path / "model")
    loaded.tokenizer.save_pretrained(path / "model")
    train = [record(f"say {word}") for word in ("this", "that", "more", "less")]
    write_pairs(path / "pairs.jsonl", [*train, record("held out", split=Split.TEST)])
    return path


def scalpel(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["trace", *map(str, arguments)])
    return int(ended.value.code or 0)


def options(home: Path, out: Path) -> list[object]:
    return ["--model", home / "model", "--pairs", home / "pairs.jsonl", "--out", out, *QUICK]


def test_a_trace_is_written_and_its_best_are_printed(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scalpel(*options(home, tmp_path / "trace"), "--seed", "3") == 0
    artifact = load_trace(tmp_path / "trace")
    circuit = artifact.circuit
    assert circuit.behaviour == "toxicity"
    assert circuit.base.id == "model"
    assert (circuit.pairs.cases, circuit.pairs.split) == (4, "train")
    assert circuit.pairs.sha256 == pairs_sha256(load_pairs(home / "pairs.jsonl"))
    assert circuit.method is TraceMethod.SCREEN
    assert circuit.seeds == [3]
    assert len(circuit.components) == 4
    said = capsys.readouterr()
    assert "toxicity, 4 pairs" in said.out
    assert f"{circuit.components[0].effect:+.4f}" in said.out
    assert "patching: 4/4" in said.err


def test_the_effect_on_harm_of_generated_text(home: Path, tmp_path: Path) -> None:
    more = ["--measure", "harm", "--scorer", "demo", "--components", "head", "--max-new-tokens", "4", "--limit", "2"]
    assert scalpel(*options(home, tmp_path), *more) == 0
    circuit = load_trace(tmp_path).circuit
    assert circuit.measure.kind is MeasureKind.HARM
    assert circuit.measure.scorer is not None
    assert circuit.measure.max_new_tokens == 4
    assert circuit.pairs.cases == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--source", "dreams"], "--source is 'dreams'; wanted one of contrast, completion, mean"),
        (["--positions", "some"], "--positions is 'some'; wanted one of generation, all"),
        (["--measure", "joy"], "--measure is 'joy'; wanted one of lead, harm"),
        (["--method", "luck"], "--method is 'luck'; wanted one of exact, attribution, screen"),
        (["--components", "resid"], "--components is 'resid'; wanted one of head, neuron, both"),
        (["--head-path", "away"], "--head-path is 'away'; wanted one of start, together, point"),
        (["--head-path", "start", "--steps", "2"], "steps is 2; wanted 1"),
        (["--measure", "harm", "--method", "attribution"], "has no gradient"),
        (["--measure", "harm", "--scorer", "oracle"], "'oracle' is not known"),
        (["--behaviour", "boredom"], "no pairs of boredom (train); it has toxicity (test), toxicity (train)"),
        (["--split", "validation"], "no pairs of toxicity (validation)"),
        (["--device", "abacus"], "device is 'abacus'; wanted one of auto, cpu, cuda"),
        (["--dtype", "int8"], "dtype is 'int8'; wanted one of float32"),
        (["--longest", "5"], "with too long"),
        (["--model", "/nowhere"], "/nowhere is not a model directory"),
        (["--pairs", "/nowhere.jsonl"], "/nowhere.jsonl: cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(
    home: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scalpel(*options(home, tmp_path / "out"), *more) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert said in complaint
    assert complaint.startswith("scalpel: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (
            [record("a"), record("b", behaviour="gloom")],
            "has pairs of gloom, toxicity; name one with --behaviour",
        ),
        ([record("say this", contrast=None)], "no contrast prompt"),
        ([record("say this", contrast="say something longer")], "a contrast prompt of another length"),
    ],
)
def test_pairs_that_cannot_be_traced_are_one_sentence(
    home: Path,
    tmp_path: Path,
    records: list[PairRecord],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", records)
    assert scalpel(*options(home, tmp_path / "out"), "--pairs", tmp_path / "pairs.jsonl") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "\n", '{"format": 1}\n', "not json\n"])
def test_a_file_without_pairs_is_one_sentence(
    home: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.jsonl").write_text(text)
    assert scalpel(*options(home, tmp_path / "out"), "--pairs", tmp_path / "pairs.jsonl") == 2
    assert re.fullmatch(r"scalpel: \S+pairs\.jsonl.*\n", capsys.readouterr().err)


def test_pairs_that_are_left_out_are_said(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(tmp_path / "pairs.jsonl", [*(record(f"say {n}") for n in "abc"), record("say d", contrast=None)])
    more = ["--pairs", tmp_path / "pairs.jsonl", "--method", "attribution", "--dtype", "bfloat16"]
    assert scalpel(*options(home, tmp_path / "out"), *more) == 0
    assert "note: 1 of 4 pairs are left out: 1 with no contrast prompt" in capsys.readouterr().err
    assert load_trace(tmp_path / "out").circuit.pairs.cases == 3


def test_ctrl_c_leaves_the_trace_that_was_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scalpel(*options(home, tmp_path)) == 0
    before = load_trace(tmp_path).circuit

    def interrupt(what: str, _done: int, _of: int) -> None:
        if what.startswith("patching"):
            raise KeyboardInterrupt

    monkeypatch.setattr(trace_command, "_show_progress", interrupt)
    capsys.readouterr()
    assert scalpel(*options(home, tmp_path), "--seed", "9") == 130
    assert capsys.readouterr().err == f"\nscalpel: stopped; {tmp_path} is as it was\n"
    assert load_trace(tmp_path).circuit == before


def test_a_full_disk_is_one_sentence(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert scalpel(*options(home, tmp_path / "out"), "--method", "attribution") == 2
    assert "cannot be written: No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert list((tmp_path / "out").iterdir()) == []


def test_the_pairs_are_drawn_by_seed(home: Path) -> None:
    records = load_pairs(home / "pairs.jsonl")
    chosen = trace_stage.chosen_records(records, trace_stage.TraceRequest(pairs=home, out=home))
    assert [r.split for r in chosen] == [Split.TRAIN] * 4
    every = trace_stage.chosen_records(records, trace_stage.TraceRequest(pairs=home, out=home, split="all"))
    assert len(every) == 5


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom server.cli import main\n"
        "try:\n    main(['trace', '--help'])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
