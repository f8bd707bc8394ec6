"""docs/pairs.md against the code: sources, keys, options, and its program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from breakers.pairs.lines import PairLine
from breakers.pairs.sources import SOURCES, PairSource, build_source
from server.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "pairs.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]


def test_every_source_is_there_with_what_it_says_of_itself() -> None:
    table = {row[0].strip("`"): row for row in rows(PAGE.partition("## Sources")[2]) if row[0] != "source"}
    assert set(table) == set(SOURCES)
    for name, row in table.items():
        source = build_source(name)
        assert (row[1], row[4]) == (", ".join(source.behaviours), source.licence)
        assert row[3].startswith("no") == (not isinstance(source, PairSource))


def test_every_key_of_a_line_is_there() -> None:
    table = rows(PAGE.partition("## The file")[2].partition("\n\n**Dup")[0])
    keys = [key for row in table[1:] for key in re.findall(r"`(\w+)`", row[0])]
    assert sorted(keys) == sorted(PairLine.model_fields)


def test_every_option_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pairs", "build", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) | {"--model"}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known


def test_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(program, {})
    cases, _, dropped = capsys.readouterr().out.partition(" ")
    assert int(cases) > 50
    assert "too long" in dropped
