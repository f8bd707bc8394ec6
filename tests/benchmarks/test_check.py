"""The check on made-up results: what fails, what is missed, and that targets only tighten."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.check import check
from benchmarks.errors import TargetsError
from benchmarks.history import root
from benchmarks.results import describe_machine, load_result, targets_path, write_result
from benchmarks.targets import Target, load_targets, looser_targets, parse_targets

TEXT = """
[speed]
measures = ["benchmarks/check.py"]

[speed.targets.milliseconds]
op = "<="
value = 1.0
words = "under 1 ms"
"""
CONTENTS = {"benchmarks/check.py": "abc"}


def result(**overrides: object) -> dict[str, object]:
    fields = {
        "command": "python -m benchmarks.speed",
        "commit": "0123456789ab",
        "date": "2026-01-01",
        "machine": {"cpu": "x"},
        "versions": {"python": "3.11"},
        "contents": CONTENTS,
        "figures": {"milliseconds": 0.5},
        "targets": {"milliseconds": ["<=", 1.0]},
    }
    return fields | overrides


def run(tmp_path: Path, current: dict[str, str] = CONTENTS, **overrides: object):
    (tmp_path / "speed.json").write_text(json.dumps(result(**overrides)))
    return check(parse_targets(TEXT), tmp_path, {"speed": current})


def test_a_met_and_a_missed_target(tmp_path: Path) -> None:
    [row] = run(tmp_path).rows
    assert row.met
    missed = run(tmp_path, figures={"milliseconds": 1.5})
    assert not missed.rows[0].met
    assert missed.failures == []


@pytest.mark.parametrize(
    ("overrides", "current", "failure"),
    [
        ({"figures": {}}, CONTENTS, "target 'milliseconds' has no figure"),
        ({}, {"benchmarks/check.py": "new"}, "older than the code it measures (benchmarks/check.py changed)"),
        ({"contents": {}}, CONTENTS, "older than the code it measures"),
        ({"commit": "0123456789ab+changes"}, CONTENTS, "not committed"),
        ({"targets": {"milliseconds": ["<=", 2.0]}}, CONTENTS, "not those of targets.toml"),
    ],
)
def test_what_fails_the_check(
    tmp_path: Path, overrides: dict[str, object], current: dict[str, str], failure: str
) -> None:
    failures = run(tmp_path, current, **overrides).failures
    assert any(failure in found for found in failures)


def test_a_missing_or_broken_result_fails(tmp_path: Path) -> None:
    report = check(parse_targets(TEXT), tmp_path, {"speed": CONTENTS})
    assert "not a result file" in report.failures[0]
    (tmp_path / "speed.json").write_text('{"surprise": 1}')
    with pytest.raises(TargetsError, match="surprise"):
        load_result(tmp_path / "speed.json")


def test_targets_may_only_tighten() -> None:
    before = parse_targets(TEXT)
    assert looser_targets(parse_targets(TEXT.replace("1.0", "0.5")), before) == []
    [looser] = looser_targets(parse_targets(TEXT.replace("1.0", "2.0")), before)
    assert (looser.was, looser.now) == ("<= 1", "<= 2")
    assert looser_targets({}, before)[0].now == "gone"
    assert looser_targets(parse_targets(TEXT.replace("<=", ">=")), before)


def test_bounds() -> None:
    assert Target(op=">=", value=1.0, words="w").met(1.0)
    assert not Target(op="<=", value=1.0, words="w").met(float("nan"))


@pytest.mark.parametrize("text", ["[speed]\n", "not toml", TEXT.replace("words", "word"), TEXT.replace("<=", "==")])
def test_targets_in_another_format_are_refused(text: str) -> None:
    with pytest.raises(TargetsError):
        parse_targets(text)


def test_the_projects_targets_are_readable_and_measure_what_exists() -> None:
    for declared in load_targets(targets_path()).values():
        for path in declared.measures:
            assert (root() / path).parent.is_dir()


def test_a_written_result_can_be_read(tmp_path: Path) -> None:
    figures = dict.fromkeys(load_targets(targets_path())["classifier_lexical"].targets, 0.25)
    written = write_result(
        "classifier_lexical", figures=figures, command="test", packages=("numpy",), folder=tmp_path
    )
    assert load_result(tmp_path / "classifier_lexical.json") == written
    assert written.versions["numpy"] != "not installed"
    with pytest.raises(TargetsError, match="finite"):
        write_result("classifier_lexical", figures={"x": float("nan")}, command="test", folder=tmp_path)
    with pytest.raises(TargetsError, match="not in targets"):
        write_result("magic", figures={}, command="test", folder=tmp_path)


def test_the_machine_is_described_without_names_and_paths() -> None:
    import socket

    described = " ".join(describe_machine().values())
    assert socket.gethostname() not in described
    assert "/" not in described
    assert set(describe_machine()) == {"cpu", "cores", "memory", "system"}


def test_contents_and_commit_follow_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(history, "root", lambda: tmp_path)
    git("init")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-m", "One")
    first = history.contents(("a.py", "b.py"))
    assert list(first) == ["a.py"]
    assert not history.commit(("a.py",)).endswith("+changes")
    (tmp_path / "a.py").write_text("2")
    assert history.commit(("a.py",)).endswith("+changes")
    git("commit", "-am", "Two")
    assert history.contents(("a.py",)) != first
    assert history.git("show", "HEAD~1:a.py") == "1"
    assert history.git("show", "HEAD~7:a.py") is None
