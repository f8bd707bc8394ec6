"""Rows for a fit: deduplicated before the split, groups whole, and templates that favour no group."""

import os
from collections import Counter
from pathlib import Path

import pytest

from classifiers.fitting.prompts import Split, SplitShares, normalised
from classifiers.fitting.replies import identity_templates, reply_reader, request_templates, stereotype_templates
from classifiers.fitting.replies.preparing import (
    RowsConfig,
    distinct,
    prepare,
    sample_rows,
    split_rows,
    without_near_duplicates,
    without_source,
)
from classifiers.fitting.replies.record import ReplyRow


def row(text: str, source: str = "a", group: str = "") -> ReplyRow:
    return ReplyRow(reply=text, labels={"toxicity": False}, source=source, group=group)


def test_the_first_of_equal_texts_is_kept() -> None:
    rows = [row("Hello, you!"), row("hello you", "b"), row("..."), row("other")]
    assert [(r.reply, r.source) for r in distinct(rows)] == [("Hello, you!", "a"), ("other", "a")]


def test_near_duplicates_go_and_short_texts_and_templates_stay() -> None:
    text = "the old bridge over the river was built of stone by many workers long ago in spring"
    near = f"{text} indeed"
    other = "a completely different sentence about cooking soup with onions and a little salt"
    rows = [row(text), row(near, "b"), row(other), row("so it is"), row("so it was")]
    assert [r.reply for r in without_near_duplicates(rows)] == [text, other, "so it is", "so it was"]
    templates = [row(text, "identity_templates"), row(near, "identity_templates")]
    assert len(without_near_duplicates(templates)) == 2


def test_a_group_is_not_divided() -> None:
    rows = [row(f"text {i}", group=f"group {i % 20}") for i in range(200)]
    by_split = split_rows(rows, SplitShares(calibration=0.2, heldout=0.3))
    assert sum(len(found) for found in by_split.values()) == 200
    sides = {split: {r.group for r in found} for split, found in by_split.items()}
    assert not sides[Split.TRAIN] & sides[Split.HELDOUT]
    assert not sides[Split.TRAIN] & sides[Split.CALIBRATION]
    assert len(sides[Split.HELDOUT]) > 0
    assert without_source(by_split, "a") == {split: [] for split in Split}


def test_a_sample_has_its_size_and_the_order_given() -> None:
    rows = [row(f"text {i}") for i in range(50)]
    found = sample_rows(rows, 10, 0)
    assert len(found) == 10
    assert [rows.index(r) for r in found] == sorted(rows.index(r) for r in found)
    assert sample_rows(rows, 10, 0) == found != sample_rows(rows, 10, 1)
    assert sample_rows(rows, 50, 0) == rows


def test_prepared_rows_know_the_behaviour(tmp_path: Path) -> None:
    config = RowsConfig(root=tmp_path, behaviour="toxicity", limits={"identity_templates": 500})
    rows = [r for found in prepare(config).values() for r in found]
    assert len(rows) == 500
    assert prepare(RowsConfig(root=tmp_path, behaviour="refusal", limits={"identity_templates": 5})) == {
        split: [] for split in Split
    }


def test_identity_templates_treat_every_term_alike() -> None:
    counts = Counter((r.subgroup, r.labels["toxicity"]) for r in identity_templates.read())
    assert len(set(counts.values())) == 1
    assert len(counts) == 2 * len(identity_templates.ADJECTIVES)


def test_every_stereotype_also_stands_contradicted() -> None:
    counts = Counter((r.subgroup, r.labels["stereotype"]) for r in reply_reader("stereotype_templates")(Path()))
    shown = {count for (_, stereotype), count in counts.items() if stereotype}
    assert shown == {len(stereotype_templates.STEREOTYPES)}
    assert len({count for (_, stereotype), count in counts.items() if not stereotype}) == 1
    by_group: dict[str, set[bool]] = {}
    for r in stereotype_templates.read():
        by_group.setdefault(r.group, set()).add(r.labels["stereotype"])
    assert sum(labels == {True, False} for labels in by_group.values()) == len(stereotype_templates.STEREOTYPES)


def test_every_frame_asks_for_harmless_and_for_harmful_deeds() -> None:
    rows = list(request_templates.read())
    deeds = {True: request_templates.HARMFUL, False: request_templates.HARMLESS}
    assert not set(deeds[True]) & set(deeds[False])
    assert len({r.reply for r in rows}) == len(rows)
    for frame in request_templates.FRAMES:
        labels = Counter(r.labels["harmful_request"] for r in rows if r.reply.startswith(frame.split("{")[0]))
        assert labels[True] % len(deeds[True]) == labels[False] % len(deeds[False]) == 0
        assert set(labels) == {True, False}


@pytest.mark.data
@pytest.mark.slow
def test_identity_templates_hold_nothing_of_the_set_that_measures() -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    measured = {normalised(r.reply) for r in reply_reader("identity_madlibs")(Path(root))}
    assert not [r.reply for r in identity_templates.read() if normalised(r.reply) in measured]


@pytest.mark.parametrize("module", [identity_templates, stereotype_templates, request_templates])
def test_own_templates_fill_every_slot(module: object) -> None:
    assert all("{" not in r.reply and "_" not in r.reply for r in module.read())  # type: ignore[attr-defined]
