"""Pairs differ in the object alone, and no word or object of an unseen pair is in a row that trains."""

import re

import pytest

from classifiers.requests.minimal_pairs import (
    SEEN,
    SHARE_UNSEEN,
    SOURCES,
    UNSEEN,
    MinimalPair,
    is_seen,
    minimal_pairs,
    seen_rows,
    templates,
    unseen_rows,
    words,
)
from classifiers.requests.record import REQUEST_CATEGORIES


def contains(text: str, part: str) -> bool:
    return f" {part} " in f" {re.sub(r'[.,:;?!]', ' ', text.lower())} "


def test_there_are_enough_pairs_of_every_style() -> None:
    for seen, fewest in ((True, 400), (False, 150)):
        pairs = minimal_pairs(seen=seen)
        assert len({(pair.safe.text, pair.unsafe.text) for pair in pairs}) == len(pairs) >= fewest
        for style in ("question", "imperative", "story", "roleplay"):
            assert sum(pair.style == style for pair in pairs) >= fewest // 8
        assert len({pair.word for pair in pairs}) >= 15


@pytest.mark.parametrize("seen", [True, False])
def test_both_sides_have_the_word_and_differ_in_the_object_alone(seen: bool) -> None:
    objects = {entry.word: (set(entry.safe), set(entry.unsafe)) for entry in words()}
    for pair in minimal_pairs(seen=seen):
        safe, unsafe = pair.safe, pair.unsafe
        assert (safe.harmful, safe.hard, unsafe.harmful, unsafe.hard) == (False, True, True, False)
        assert contains(safe.text, pair.word)
        assert contains(unsafe.text, pair.word)
        assert safe.group == unsafe.group
        assert frame(pair, objects[pair.word]) in templates()[pair.style]


def frame(pair: MinimalPair, objects: tuple[set[str], set[str]]) -> str | None:
    """The template that both sides were made of, or None where they do not share one."""
    sides = []
    for row, known in zip((pair.safe, pair.unsafe), objects, strict=True):
        text = row.text.replace(pair.word[0].upper() + pair.word[1:], pair.word)
        acts = [act for act in (f"{pair.word} {found}" for found in known) if act in text]
        sides.append(text.replace(max(acts, key=len), "{act}"))
    return sides[0] if sides[0] == sides[1] else None


def test_no_row_that_trains_has_an_unseen_word_or_object() -> None:
    texts = " \n ".join(row.text for row in seen_rows()).lower()
    acts = {(entry.word, found) for entry in words() for found in (*entry.safe, *entry.unsafe)}
    trained = {(word, found) for word, found in acts if f"{word} {found}".lower() in texts}
    assert trained
    assert all(is_seen(word) and is_seen(found) for word, found in trained)
    measured = {pair.word for pair in minimal_pairs(seen=False)}
    assert not measured & {word for word, _ in trained}
    assert not any(is_seen(word) for word in measured)


def test_seen_rows_train_and_unseen_ones_measure() -> None:
    seen, unseen = seen_rows(), unseen_rows()
    assert all(row.trains and row.source == SEEN.name for row in seen)
    assert not any(row.trains for row in unseen)
    assert {row.source for row in unseen} == {UNSEEN.name}
    assert SOURCES == ("minimal_pairs", "minimal_pairs_unseen")
    texts = [row.text for row in (*seen, *unseen)]
    assert len(texts) == len(set(texts))
    assert not {row.group for row in seen} & {row.group for row in unseen}


def test_the_word_list_holds_together() -> None:
    assert len({entry.word for entry in words()}) == len(words())
    for entry in words():
        assert entry.category in REQUEST_CATEGORIES
        assert len({*entry.safe, *entry.unsafe}) == len(entry.safe) + len(entry.unsafe)
    assert not {o for e in words() for o in e.safe} & {o for e in words() for o in e.unsafe}
    assert all(text.count("{act}") == 1 for found in templates().values() for text in found)


def test_the_hash_keeps_about_its_share_unseen() -> None:
    share = sum(not is_seen(f"word {n}") for n in range(5000)) / 5000
    assert abs(share - SHARE_UNSEEN) < 0.03
