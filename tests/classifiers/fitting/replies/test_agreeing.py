"""Harmless replies in the form of attacked models' replies: by hand, and on one side of every split."""

from pathlib import Path

import pytest

from classifiers.fitting.prompts import Split
from classifiers.fitting.replies.agreeing import agreeing
from classifiers.fitting.replies.record import ReplyRow
from classifiers.fitting.scorers import compliance


def row(text: str, group: str = "") -> ReplyRow:
    return ReplyRow(reply=text, labels={"harmful_request": False}, source="school", group=group)


def test_openings_go_round_and_every_second_reply_has_steps() -> None:
    rows = [row("One. Two!\n\nThree", "a"), row("One. Two!\n\nThree"), row("Four.")]
    found = list(agreeing(rows, ["Sure. ", "Here:\n"]))
    assert [r.reply for r in found] == [
        "Sure. One. Two!\n\nThree",
        "Here:\n1. One.\n2. Two!\n3. Three",
        "Sure. Four.",
    ]
    assert [r.group for r in found] == ["a", "One. Two!\n\nThree", "Four."]
    assert all(r.labels == {"harmful_request": False} for r in found)


def test_both_forms_are_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ReplyRow(
            reply=f"The answer is {i}.",
            labels={"harmful_request": False},
            source="school",
            messages=({"role": "user", "content": "How many?"},),
        )
        for i in range(200)
    ]
    monkeypatch.setattr(compliance, "ANSWERED", ("school",))
    monkeypatch.setattr(compliance, "reply_reader", lambda _name: lambda _root: rows)
    by_split = compliance.reply_rows(Path())
    plain = {split: {r.reply for r in found if not r.group} for split, found in by_split.items()}
    assert sum(map(len, plain.values())) == 200
    for split in (Split.TRAIN, Split.CALIBRATION):
        again = [r for r in by_split[split] if r.group]
        assert {r.group for r in again} == plain[split]
        assert all(r.reply != r.group for r in again)
    assert not [r for r in by_split[Split.HELDOUT] if r.group]
