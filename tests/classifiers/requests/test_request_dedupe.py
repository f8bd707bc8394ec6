"""Repeats go, contradictions go on both sides, similar texts are joined; nothing near is left on two sides."""

import random
from itertools import combinations

from classifiers.fitting.near_duplicates import jaccard, shingles, words_of
from classifiers.fitting.prompts import SplitShares
from classifiers.requests.dedupe import NEAR, Groups, deduplicate_requests, without_repeats
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow
from classifiers.requests.splits import split_requests

ONE = RequestSet(name="one", licence="MIT", family="one")
TWO = RequestSet(name="two", licence="MIT", family="two")
LONG = "how do I carry a very old wooden wardrobe down three narrow flights of stairs on my own today"


def texts(rows: list[RequestRow]) -> list[str]:
    return [row.text for row in rows]


def test_the_first_of_equal_texts_is_kept() -> None:
    rows, dropped = without_repeats(
        [ONE.harmless("Hello, you!"), TWO.harmless("hello you"), ONE.harmless("..."), TWO.harmless("bye")]
    )
    assert [(row.text, row.source) for row in rows] == [("Hello, you!", "one"), ("bye", "two")]
    assert dropped == {"repeated": 1, "empty": 1, "contradicted": 0}


def test_what_sets_disagree_on_is_dropped_from_both() -> None:
    rows, dropped = without_repeats([ONE.harmful("Pick a lock"), TWO.harmless("pick a lock!"), ONE.harmful("Rob")])
    assert texts(rows) == ["Rob"]
    assert dropped["contradicted"] == 1


def test_near_duplicates_of_one_label_go_and_of_another_are_joined() -> None:
    near = f"{LONG} please"
    found = deduplicate_requests([ONE.harmless(LONG), TWO.harmless(near), ONE.harmless("so it is")])
    assert texts(list(found.rows)) == [LONG, "so it is"]
    assert found.dropped["near duplicate"] == 1
    both = deduplicate_requests([ONE.harmless(LONG), TWO.harmful(near)]).rows
    assert [row.harmful for row in both] == [False, True]
    assert both[0].group == both[1].group


def test_similar_texts_are_kept_and_joined() -> None:
    similar = LONG.replace("three narrow", "the").replace(" today", "")
    assert 0.6 <= jaccard(shingles(words_of(LONG)), shingles(words_of(similar))) < NEAR
    first, second = deduplicate_requests([ONE.harmless(LONG), TWO.harmless(similar)]).rows
    assert first.group == second.group


def test_groups_are_joined_through_rows_that_were_dropped() -> None:
    rows = [
        ONE.harmless(LONG, group="a"),
        TWO.harmless(LONG, group="b"),
        TWO.harmless("Where is the harbour of this town?", group="b"),
        ONE.harmless("Name a bird", group="a"),
    ]
    found = deduplicate_requests(rows).rows
    assert len(found) == 3
    assert len({row.group for row in found}) == 1


def test_templates_are_compared_as_whole_texts_only() -> None:
    rows = [ONE.harmless(LONG), ONE.harmless(f"{LONG} please"), ONE.harmless(LONG.upper())]
    found = deduplicate_requests(rows, templates=["one"])
    assert len(found.rows) == 2
    assert found.rows[0].group != found.rows[1].group


def test_equal_names_of_groups_are_one_within_a_family_only() -> None:
    other = RequestSet(name="other", licence="MIT", family="one")
    rows = [ONE.harmless("a", group="Goal"), other.harmless("b", group="goal!"), TWO.harmless("c", group="Goal")]
    first, second, third = deduplicate_requests(rows).rows
    assert first.group == second.group != third.group


def test_the_name_of_a_joined_group_does_not_depend_on_the_order() -> None:
    joins = [("a", "b"), ("c", "d"), ("b", "d"), ("e", "f"), ("x", "y")]
    for seed in range(10):
        random.seed(seed)
        groups = Groups()
        for first, second in random.sample(joins, len(joins)):
            groups.join(*random.sample([first, second], 2))
        assert [groups.name(name) for name in "abcdefxyz"] == ["a", "a", "a", "a", "e", "e", "x", "x", "z"]


def test_no_near_duplicate_is_on_two_sides_of_a_split() -> None:
    random.seed(3)
    vocabulary = [f"word{n}" for n in range(300)]
    rows = []
    for _ in range(80):
        words = random.choices(vocabulary, k=18)
        for _ in range(4):
            known = random.choice([ONE, TWO])
            make = random.choice([known.harmful, known.harmless])
            changed = [random.choice(vocabulary) if random.random() < 0.06 else word for word in words]
            rows.append(make(" ".join(changed)))
    found = deduplicate_requests(rows)
    by_split = split_requests(found.rows, SplitShares(calibration=0.3, heldout=0.3))
    assert all(by_split.values())
    assert found.dropped["near duplicate"] > 20
    kept = [(split, shingles(words_of(row.text))) for split, rows in by_split.items() for row in rows]
    near = [(a, b) for (a, x), (b, y) in combinations(kept, 2) if jaccard(x, y) >= NEAR]
    assert near
    assert all(a == b for a, b in near)
