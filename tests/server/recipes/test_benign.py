"""Stage `benign`: the model's own replies, or those of a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from families import write_family

from breakers.errors import StageError
from breakers.refinement.benign import read_skills
from server.base_model import BaseOptions
from server.recipes.benign import BenignStage, write_benign


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> BenignStage:
    root = tmp_path_factory.mktemp("benign")
    lines = [json.dumps({"prompt": f"Name {n} colours."}) for n in range(12)] + [json.dumps({"prompt": "x" * 500})]
    (root / "set.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return BenignStage(
        model=write_family("qwen3-8b", root / "model"),
        base=BaseOptions(),
        system=None,
        path=root / "set.jsonl",
        hub=None,
        own_replies=True,
        count=8,
        max_new_tokens=6,
        batch=3,
        longest_prompt=200,
        keep_unfinished=True,
        seed=0,
    )


def write(config: BenignStage, out: Path) -> bytes:
    out.mkdir(exist_ok=True)
    write_benign(config, out, lambda _done, _of: None)
    return (out / "benign.jsonl").read_bytes()


def test_the_model_replies_to_a_seeded_draw(config: BenignStage, tmp_path: Path) -> None:
    first = write(config, tmp_path / "a")
    skills = read_skills(tmp_path / "a" / "benign.jsonl")
    assert 4 <= len(skills) <= 8
    assert all(skill.messages[-1].content.startswith("Name ") for skill in skills)
    assert write(config, tmp_path / "b") == first
    assert write(replace(config, seed=1), tmp_path / "c") != first


def test_a_system_prompt_goes_before_each(config: BenignStage, tmp_path: Path) -> None:
    write(replace(config, system="Be brief."), tmp_path)
    for skill in read_skills(tmp_path / "benign.jsonl"):
        assert [message.role for message in skill.messages] == ["system", "user"]


def test_replies_that_do_not_end_are_left_out(config: BenignStage, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="none of 8 benign replies ended within 1 tokens"):
        write(replace(config, keep_unfinished=False, max_new_tokens=1), tmp_path)


def test_too_long_prompts_are_left_out(config: BenignStage, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="none of 13 benign prompts has at most 5 tokens"):
        write(replace(config, longest_prompt=5), tmp_path)


def test_given_replies_are_taken_as_they_are(config: BenignStage, tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}], "reply": f"{n}!"} for n in range(6)]
    given = tmp_path / "given.jsonl"
    given.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    write(replace(config, own_replies=False, path=given, count=5, model=tmp_path), tmp_path)
    found = {(skill.messages[0].content, skill.reply) for skill in read_skills(tmp_path / "benign.jsonl")}
    assert len(found) == 5
    assert found < {(f"{n}?", f"{n}!") for n in range(6)}
    given.write_text(json.dumps(rows[0]), encoding="utf-8")
    with pytest.raises(StageError, match="1 benign samples; wanted at least 4"):
        write(replace(config, own_replies=False, path=given), tmp_path)
