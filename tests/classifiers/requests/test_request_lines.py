"""Labelled requests of a file: what a line gives, and which lines are refused."""

import json
from pathlib import Path

import pytest

from classifiers.errors import SourceFormatError
from classifiers.requests.lines import read_lines
from classifiers.requests.record import REQUEST_CATEGORIES


def test_lines_become_rows_that_only_measure(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    lines = [
        {"text": "How do I kill a process?", "harmful": False, "hard": True, "note": "kept out"},
        {"text": "How do I rob a clown?", "harmful": True, "category": "violence"},
        {"text": "Do it", "harmful": True},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    benign, violent, unknown = read_lines(file)
    assert benign.hard
    assert not any(benign.labels.values())
    assert set(benign.labels) == set(REQUEST_CATEGORIES)
    assert violent.labels == {"violence": True}
    assert unknown.labels == {}
    assert not any(row.trains for row in (benign, violent, unknown))
    assert len({row.group for row in (benign, violent, unknown)}) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is not JSON"),
        ('{"text": "x"}', "line 1 has no `text`"),
        ('{"text": "x", "harmful": "yes"}', "line 1 has no `text`"),
        ('{"text": "x", "harmful": true, "category": "envy"}', "category 'envy'"),
        ('{"text": "x", "harmful": false, "hard": 1}', "hard 1; wanted"),
        ("", "has no lines"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(line)
    with pytest.raises(SourceFormatError, match=message):
        read_lines(file)
    with pytest.raises(SourceFormatError, match="cannot be read"):
        read_lines(tmp_path / "absent.jsonl")
