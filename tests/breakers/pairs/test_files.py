"""Files of pairs: what is written is what is read, hashes, refusals with their place, and no half files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_records import pair

from breakers.errors import PairsError
from breakers.pairs import files
from breakers.pairs.files import check_splits, load_pairs, pairs_sha256, read_pairs, write_pairs
from breakers.pairs.lines import parse_line, render_line
from breakers.pairs.record import Message, PairRecord, Split, user_turn

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
TURNS = st.tuples(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=2), TEXT)
PAIRS = st.fixed_dictionaries(
    {
        "messages": TURNS,
        "harmful": TEXT,
        "neutral": TEXT,
        "contrast_prompt": st.none() | TURNS,
        "split": st.sampled_from(list(Split)),
    }
)
"""Plain values: what is checked with beartype must not be made inside a strategy, because beartype draws lots."""


def made(values: dict[str, Any]) -> PairRecord:
    """The pair of such values."""
    turns = {name: values[name] for name in ("messages", "contrast_prompt")}
    messages = {
        name: None
        if value is None
        else (*(Message(role=role, content=text) for role, text in value[0]), *user_turn(f"{name} {value[1]}"))
        for name, value in turns.items()
    }
    replies = {"harmful": f"bad {values['harmful']}", "neutral": f"good {values['neutral']}"}
    return pair(**messages, **replies, split=values["split"])


LINE = json.loads(render_line(pair()))


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_a_line_says_all_of_a_pair(values: dict[str, Any]) -> None:
    record = made(values)
    line = render_line(record)
    assert "\n" not in line
    assert parse_line(line.encode(), "here") == record


@settings(max_examples=25, deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=4).flatmap(lambda many: st.tuples(st.just(many), st.permutations(many))))
def test_the_hash_does_not_depend_on_the_order(both: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    records, shuffled = (list(map(made, many)) for many in both)
    assert pairs_sha256(shuffled) == pairs_sha256(records)
    # A pair more is another set, even if it was there before.
    assert pairs_sha256([*records, records[0]]) != pairs_sha256(records)


def test_every_field_counts_for_the_hash() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"behaviour": "x"},
        {"messages": user_turn("x")},
        {"harmful": "x"},
        {"neutral": "x"},
        {"contrast_prompt": user_turn("x")},
        {"source": "x"},
        {"licence": "x"},
        {"split": Split.TEST},
    ]
    assert len({pairs_sha256([pair(**change)]) for change in changes}) == len(changes)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    # Line ends of other kinds do not end a line of the file.
    records = [pair("one\u2028two"), pair("three\r\nfour", contrast_prompt=user_turn("five"))]
    digest = write_pairs(tmp_path / "new" / "pairs.jsonl", records)
    assert list(read_pairs(tmp_path / "new" / "pairs.jsonl")) == records == load_pairs(tmp_path / "new/pairs.jsonl")
    assert digest == pairs_sha256(records)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["pairs.jsonl"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neutral": None}, "neutral: found null; wanted a text, because a pair needs both replies"),
        ({"harmful": ...}, "harmful: found nothing; wanted a text, because a pair needs both replies"),
        ({"harmful": "How can I help?"}, "neutral: found the same text as in harmful, 'How can I help\\?'"),
        ({"neutral": ..., "contrast_prompt": [{"role": "user", "content": "x"}]}, "neutral: found nothing"),
        ({"format": 2}, "format: found 2; wanted 1"),
        ({"format": ...}, "format: found nothing; wanted 1"),
        ({"split": "dev"}, "split: found 'dev'; wanted 'train', 'validation' or 'test'"),
        ({"messages": "hello"}, "messages: found 'hello'; wanted a list of turns"),
        ({"messages": []}, "messages: found no turns"),
        ({"messages": ["hello"]}, r"messages\[0\]: found 'hello'; wanted a turn with role and content"),
        (
            {"messages": [{"role": "bot", "content": "x"}]},
            r"messages\[0\].role: found 'bot'; wanted 'system', 'user'",
        ),
        ({"messages": [{"role": "user", "text": "x"}]}, r"messages\[0\].content: found nothing; wanted a text"),
        ({"contrast_prompt": 3}, "contrast_prompt: found 3; wanted a list of turns"),
        ({"label": 1}, "label: found a key that is not known; wanted only format, behaviour"),
        ({"source": 7}, "source: found 7; wanted a text"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    line = {name: value for name, value in (LINE | changes).items() if value is not ...}
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n\n{json.dumps(line)}\n")
    with pytest.raises(PairsError, match=f"pairs.jsonl, line 3, {said}"):
        list(read_pairs(path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "has no pairs"),
        (b"\n \n", "has no pairs"),
        (b"[1]", "line 1: holds a list; wanted one JSON object"),
        (b"{", "line 1: is not JSON"),
        (b'{"format": 1, "format": 1}', "the key 'format' twice"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'"' + b"x" * files.LINE_LIMIT + b'"', "is longer than"),
    ],
)
def test_what_is_no_pair_file_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(data)
    with pytest.raises(PairsError, match=said):
        list(read_pairs(tmp_path / "pairs.jsonl"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"none.jsonl: cannot be read: No such file"):
        list(read_pairs(tmp_path / "none.jsonl"))


def test_a_file_with_a_pair_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(f"{render_line(pair())}\n{render_line(pair('you are a  clown.'))}\n")
    with pytest.raises(PairsError, match="pair 2 is pair 1 again"):
        load_pairs(tmp_path / "p.jsonl")


def test_a_prompt_in_two_splits_is_refused() -> None:
    train, test = pair("One"), pair("one!", harmful="else", split=Split.TEST)
    with pytest.raises(PairsError, match="the prompt 'one!' is in train and in test"):
        check_splits([train, test], "p")
    contrasted = pair("Two", contrast_prompt=user_turn("ONE"), split=Split.TEST)
    with pytest.raises(PairsError, match="the contrast prompt 'ONE' is in train and in test"):
        check_splits([contrasted, train], "p")
    # A contrast prompt that no pair asks is in no split.
    check_splits([pair("Two", contrast_prompt=user_turn("x")), pair("3", contrast_prompt=user_turn("x"))], "p")


def test_nothing_is_written_for_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="no pairs to write"):
        write_pairs(tmp_path / "pairs.jsonl", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interruption_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, [pair()])

    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    full = isinstance(failure, OSError)
    with pytest.raises(PairsError if full else KeyboardInterrupt, match="No space left" if full else None):
        write_pairs(path, [pair("another")])
    assert list(read_pairs(path)) == [pair()]
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.jsonl"]
