"""Stages run once, resume, and leave whole artifacts however they stop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from breakers.errors import StageError, TracingError
from breakers.pipeline.record import read_record
from breakers.pipeline.runner import StageOutcome, run_stages
from breakers.pipeline.stages import Report, Stage, StageRun


def silent(_stage: str) -> Report:
    return lambda _what, _done, _steps: None


class Bench:
    """Two stages: `count` writes a number, `double` reads it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.ran: list[str] = []
        self.number = 21
        self.before_double: Callable[[StageRun], None] = lambda _run: None

    def stages(self) -> list[Stage]:
        return [
            Stage(name="count", config={"number": self.number}, make=self._count),
            Stage(name="double", config={}, make=self._double, inputs={"number": "count/number.json"}),
        ]

    def run(self, until: str | None = None) -> list[StageOutcome]:
        return run_stages(self.stages(), self.work, "scalpel test", silent, until)

    def result(self) -> Any:
        return json.loads((self.work / "double" / "doubled.json").read_text(encoding="utf-8"))

    def _count(self, run: StageRun) -> None:
        self.ran.append("count")
        (run.out / "number.json").write_text(str(self.number), encoding="utf-8")

    def _double(self, run: StageRun) -> None:
        self.ran.append("double")
        self.before_double(run)
        number = int(run.inputs["number"].read_text(encoding="utf-8"))
        (run.out / "doubled.json").write_text(str(2 * number), encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


def test_stages_run_in_order_and_are_recorded(bench: Bench) -> None:
    outcomes = bench.run()
    assert bench.result() == 42
    assert [(o.stage, o.ran) for o in outcomes] == [("count", True), ("double", True)]
    record = read_record(bench.work / "double")
    assert record == outcomes[1].record
    assert record.inputs == {"count/number.json": outcomes[0].record.outputs["number.json"]}
    # sha256 of the two characters "42", by another program.
    shown = subprocess.run(["sha256sum"], input=b"42", capture_output=True, check=True).stdout.split()[0].decode()
    assert record.outputs == {"doubled.json": f"sha256:{shown}"}


def test_what_is_finished_does_not_run_again(bench: Bench) -> None:
    bench.run()
    assert [o.ran for o in bench.run()] == [False, False]
    assert bench.ran == ["count", "double"]


def test_another_configuration_runs_everything_that_depends_on_it(bench: Bench) -> None:
    bench.run()
    bench.number = 4
    assert [o.ran for o in bench.run()] == [True, True]
    assert bench.result() == 8


def test_the_same_input_made_again_does_not_run_what_reads_it(bench: Bench) -> None:
    bench.run()
    (bench.work / "count" / "number.json").write_text("5", encoding="utf-8")
    assert [o.ran for o in bench.run()] == [True, False]
    assert bench.result() == 42


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "doubled.json").write_text("43", encoding="utf-8"),
        lambda folder: (folder / "doubled.json").unlink(),
        lambda folder: (folder / "more.txt").write_text("", encoding="utf-8"),
        lambda folder: (folder / "stage.json").unlink(),
    ],
    ids=["changed", "gone", "new", "record gone"],
)
def test_a_changed_artifact_is_made_again(bench: Bench, harm: Callable[[Path], object]) -> None:
    bench.run()
    harm(bench.work / "double")
    assert [o.ran for o in bench.run()] == [False, True]
    assert bench.result() == 42
    assert sorted(p.name for p in (bench.work / "double").iterdir()) == ["doubled.json", "stage.json"]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), TracingError("nothing to trace")])
def test_an_interrupted_stage_finds_what_it_wrote(bench: Bench, end: BaseException) -> None:
    def stop(run: StageRun) -> None:
        (run.out / "checkpoint").write_text("half", encoding="utf-8")
        raise end

    bench.before_double = stop
    with pytest.raises(type(end)):
        bench.run()
    assert not (bench.work / "double").exists()
    assert read_record(bench.work / "count").stage == "count"

    seen: list[str] = []

    def go_on(run: StageRun) -> None:
        seen.append((run.out / "checkpoint").read_text(encoding="utf-8"))
        (run.out / "checkpoint").unlink()

    bench.before_double = go_on
    assert [o.ran for o in bench.run()] == [False, True]
    assert seen == ["half"]
    assert sorted(read_record(bench.work / "double").outputs) == ["doubled.json"]


def test_what_another_configuration_left_is_not_found(bench: Bench) -> None:
    def stop(run: StageRun) -> None:
        (run.out / "checkpoint").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    bench.before_double = stop
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.number = 3
    left: list[bool] = []
    bench.before_double = lambda run: left.append((run.out / "checkpoint").exists())
    bench.run()
    assert left == [False]


def test_one_that_was_whole_but_not_named_yet_is_not_made_again(bench: Bench) -> None:
    bench.run()
    (bench.work / "double").rename(bench.work / ".double.partial")
    bench.run()
    assert bench.ran == ["count", "double"]
    assert bench.result() == 42


def test_a_full_disk_is_one_sentence_and_loses_nothing(bench: Bench) -> None:
    def write_to_a_full_disk(_run: StageRun) -> None:
        Path("/dev/full").write_bytes(b"x" * 100_000)

    bench.before_double = write_to_a_full_disk
    with pytest.raises(StageError, match=r"stage double stopped: No space left on device.*finished stages are whole"):
        bench.run()
    bench.before_double = lambda _run: None
    assert [o.ran for o in bench.run()] == [False, True]


def test_until_stops_there(bench: Bench) -> None:
    assert [o.stage for o in bench.run("count")] == ["count"]
    assert not (bench.work / "double").exists()
    with pytest.raises(StageError, match="no stage is called triple; there are count, double"):
        bench.run("triple")


def test_two_runs_do_not_share_a_folder(bench: Bench) -> None:
    bench.work.mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True);"
            "sys.stdin.read()",
            str(bench.work / ".lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        if holder.stdout is None or holder.stdin is None:
            raise RuntimeError("no pipes")
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StageError, match="another run uses it"):
            bench.run()
        holder.stdin.close()
    assert [o.ran for o in bench.run()] == [True, True]


def nothing(_run: StageRun) -> None:
    pass


@pytest.mark.parametrize(
    ("inputs", "names", "wanted"),
    [
        ({}, ("one", "one"), "two stages are called one"),
        ({"x": "two/file"}, ("one", "two"), "stage one reads two/file; wanted a file of none"),
    ],
)
def test_stages_that_do_not_fit_are_refused(
    tmp_path: Path, inputs: Mapping[str, str], names: tuple[str, str], wanted: str
) -> None:
    stages = [
        Stage(name=names[0], config={}, make=nothing, inputs=inputs),
        Stage(name=names[1], config={}, make=nothing),
    ]
    with pytest.raises(StageError, match=wanted):
        run_stages(stages, tmp_path, "", silent)


def test_a_stage_that_did_not_write_what_the_next_reads(tmp_path: Path) -> None:
    stages = [
        Stage(name="one", config={}, make=nothing),
        Stage(name="two", config={}, make=nothing, inputs={"x": "one/file"}),
    ]
    with pytest.raises(StageError, match=r"stage two reads .*one/file, which cannot be read"):
        run_stages(stages, tmp_path, "", silent)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{", "is not JSON"),
        ("{}", "stage: Field required"),
        ('{"stage": "double", "stage": "x"}', "twice"),
        ('{"format": 2}', "format"),
    ],
)
def test_a_record_that_is_none_is_refused(bench: Bench, text: str, wanted: str) -> None:
    bench.run()
    (bench.work / "count" / "stage.json").write_text(text, encoding="utf-8")
    with pytest.raises(StageError, match=wanted):
        bench.run()
