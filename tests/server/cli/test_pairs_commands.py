"""`scalpel pairs`: what it writes, what it says, and how it ends when something is wrong or stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pair_records import pair
from serving.tiny_server import tiny_chat_model

from breakers.pairs.files import load_pairs, write_pairs
from breakers.pairs.record import Split, user_turn
from breakers.pairs.work import WorkFile
from breakers.scoring import ScoredReply
from server.cli import main

DEMO = ("pairs", "build", "--source", "demo", "--behaviour", "misinformation", "--count", "40")
CSV = "Question,Best Answer,Incorrect Answers\nDo clowns sleep?,Yes,No\nIs it day?,Perhaps,No; Never\n"


class LengthScorer:
    """Long replies are harmful."""

    name = "length"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": float(len(reply.reply) > 5)} for reply in replies]


def scalpel(*arguments: str) -> int:
    """Run a command in this process; its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command that samples a tiny model on a list of prompts."""
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "rtp_insult.txt").write_text("".join(f"clown number {n}\n" for n in range(12)))
    monkeypatch.setattr("server.cli.pairs_build.build_scorer", lambda _: LengthScorer())
    command = ["pairs", "build", "--source", "real-toxicity-prompts", "--behaviour", "toxicity"]
    command += ["--path", str(tmp_path / "rtp_insult.txt"), "--model", str(tmp_path / "model"), "--device", "cpu"]
    command += ["--out", str(tmp_path / "out.jsonl"), "--samples", "8", "--batch-rows", "8", "--max-new-tokens", "6"]
    return [*command, "--keep-unfinished", "--min-p", "0", "--temperature", "2", "--count", "5"]


def test_build_stats_and_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs.jsonl"
    assert scalpel(*DEMO, "--out", str(out)) == 0
    said = capsys.readouterr().out
    records = load_pairs(out)
    assert len(records) == 40
    assert f"{out}: 40 pairs (36 train, 4 validation), 40 with a contrast prompt" in said
    report = json.loads((tmp_path / "pairs.report.json").read_text())
    assert report["stats"]["sha256"] in said
    assert (report["source"], report["prompts"], report["made_with"]) == ("demo", None, {"scorer": None})

    assert scalpel("pairs", "stats", str(out)) == 0
    said = capsys.readouterr().out
    assert "splits: train 36, validation 4" in said
    assert scalpel("pairs", "stats", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out) == report["stats"]

    assert scalpel("pairs", "validate", str(out), "--model", _demo_model()) == 0
    assert "40 cases of at most" in capsys.readouterr().out


def test_the_same_command_builds_the_same_pairs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert scalpel(*DEMO, "--out", str(tmp_path / name)) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert scalpel(*DEMO, "--seed", "1", "--out", str(tmp_path / "c")) == 0
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_public_set_with_an_instruction_and_a_scorer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "TruthfulQA.csv").write_text(CSV)
    command = ["pairs", "build", "--source", "truthfulqa", "--behaviour", "misinformation", "--path", str(tmp_path)]
    out = tmp_path / "pairs.jsonl"
    assert scalpel(*command, "--out", str(out), "--instruction", "Answer:") == 0
    asked = {record.messages[0].content for record in load_pairs(out)}
    assert asked == {"Answer: Do clowns sleep?", "Answer: Is it day?"}
    # The demo's rules know no myths about clowns.
    before = out.read_bytes()
    assert scalpel(*command, "--out", str(out), "--scorer", "demo") == 2
    assert "no draft is a pair (2 judged otherwise by the scorer)" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_sampling_is_taken_up_where_it_was_stopped(
    tmp_path: Path, sampling: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scalpel(*sampling) == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    assert len(load_pairs(tmp_path / "out.jsonl")) == 5
    assert "gave both kinds" in capsys.readouterr().out
    (tmp_path / "out.jsonl").unlink()

    put, kept = WorkFile.put, []

    def stopped(self: WorkFile, *arguments: Any) -> None:
        put(self, *arguments)
        kept.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(WorkFile, "put", stopped)
    assert scalpel(*sampling) == 130
    err = capsys.readouterr().err
    assert "scalpel: stopped; what was sampled is kept in" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out.jsonl").exists()
    assert (tmp_path / ".out.jsonl.work").exists()

    monkeypatch.setattr(WorkFile, "put", put)
    assert scalpel(*sampling) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert not (tmp_path / ".out.jsonl.work").exists()


def test_ctrl_c_while_reading_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("breakers.pairs.stats.pair_stats", stop)
    assert scalpel("pairs", "stats", str(tmp_path)) == 130
    assert capsys.readouterr().err == "\nscalpel: stopped\n"


def test_validate_lists_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, leaking = tmp_path / "good", tmp_path / "bad", tmp_path / "leaking"
    write_pairs(good, [pair()])
    bad.write_text(good.read_text() + '{"format": 1}\n[]\n{}\n')
    write_pairs(leaking, [pair(), pair("Else", contrast_prompt=user_turn("You are a clown."), split=Split.TEST)])
    (tmp_path / "empty").touch()
    assert scalpel("pairs", "validate", str(good), str(bad), str(leaking), "--problems", "2") == 2
    told = capsys.readouterr()
    assert f"{good}: 1 pairs, sha256:" in told.out
    assert [line.partition(": ")[0] for line in told.err.splitlines()] == [
        f"{bad}, line 2, behaviour",
        f"{bad}, line 3",
        str(bad),
        str(leaking),
    ]
    assert "the contrast prompt 'You are a clown.' is in train and in test" in told.err
    assert scalpel("pairs", "validate", str(tmp_path / "empty")) == 2
    assert "has no pairs" in capsys.readouterr().err
    assert scalpel("pairs", "validate", str(good), "--model", str(tmp_path)) == 2
    assert "has no tokenizer that can be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "clowns", "--behaviour", "x"], "source 'clowns' is not known; wanted one of demo"),
        (["--source", "demo", "--behaviour", "x"], "source demo has nothing on 'x'; wanted one of toxicity"),
        (["--source", "bold", "--behaviour", "toxicity"], "no data is named; wanted a path"),
        (["--source", "bold", "--behaviour", "toxicity", "--no-sample"], "source bold has prompts alone"),
        (["--source", "demo", "--behaviour", "toxicity", "--scorer", "x"], "scorer 'x' is not known"),
        (["--source", "demo", "--behaviour", "toxicity", "--sample", "--temperature", "0"], "wanted it above 0"),
        (
            ["--source", "demo", "--behaviour", "toxicity", "--sample", "--device", "tpu"],
            "device is 'tpu'; wanted one",
        ),
        (["--source", "demo", "--behaviour", "toxicity", "--sample", "--model", "/nowhere"], "not a model directory"),
        (["--source", "demo", "--behaviour", "toxicity", "--test-share", "0.95"], "split shares are"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scalpel("pairs", "build", "--out", str(tmp_path / "out"), *arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("scalpel: ")
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert scalpel(*DEMO, "--out", str(tmp_path / "file" / "pairs.jsonl")) == 2
    assert "cannot be written" in capsys.readouterr().err


def _demo_model() -> str:
    from breakers.demo import model_path

    return str(model_path())
