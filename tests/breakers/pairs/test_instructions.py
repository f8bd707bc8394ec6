"""Instructions of public sets: one prompt a row, whatever the set calls it; what is none is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from breakers.errors import PairsError
from breakers.pairs.instructions import read_instructions


def write(folder: Path, *rows: dict[str, Any], name: str = "set.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"instruction": "Name a colour. ", "input": ""}, "Name a colour."),
        ({"instruction": "Translate.", "input": "sun", "output": "x"}, "Translate.\nsun"),
        ({"instruction": "Sum up.", "context": "A long day.", "response": "x"}, "Sum up.\nA long day."),
        ({"instruction": "Sort.", "instances": [{"input": "b a", "output": "a b"}]}, "Sort.\nb a"),
        ({"instruction": "Greet.", "instances": []}, "Greet."),
        ({"role": "prompter", "text": "Hello there", "parent_id": None, "lang": "en"}, "Hello there"),
        ({"turns": ["Write a poem.", "Now shorter."]}, "Write a poem."),
        ({"question": "who wrote it", "answer": ["x"]}, "who wrote it"),
        ({"prompt": "Tell a joke"}, "Tell a joke"),
    ],
)
def test_each_shape_gives_its_prompt(row: dict[str, Any], text: str, tmp_path: Path) -> None:
    assert read_instructions(write(tmp_path, row)) == [text]


def test_later_turns_other_languages_and_repetitions_are_passed_over(tmp_path: Path) -> None:
    first = {"role": "prompter", "text": "Hi", "parent_id": None, "lang": "en"}
    others = [{"role": "assistant"}, {"parent_id": "1"}, {"lang": "de"}, {"text": " "}]
    write(tmp_path, first, *({**first, "text": f"no {n}", **other} for n, other in enumerate(others[:3])), first)
    write(tmp_path, {"prompt": "Hi"}, {"prompt": "Ho"}, name="z.jsonl")
    assert read_instructions(tmp_path) == ["Hi", "Ho"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"clown": 1}], r"line 1: found \['clown'\]; wanted instruction"),
        ([{"prompt": 1}], "prompt: found '1'; wanted a text"),
        ([{"prompt": " "}], "has no instructions; wanted at least one"),
    ],
)
def test_what_is_no_set_is_refused(rows: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=said):
        read_instructions(write(tmp_path, *rows))
    with pytest.raises(PairsError, match="no data is named"):
        read_instructions(None)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "least"), [("seed-instructions", 400), ("nq-open", 3_000), ("mobileaibench", 70), ("gsm8k", 8_000)]
)
def test_the_real_files_are_read(folder: str, least: int) -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    assert len(read_instructions(Path(root) / folder)) >= least
