"""The grammar accepts what it writes and refuses what it cannot have written."""

from __future__ import annotations

import random

import pytest

from breakers.demo.grammar import Grammar, parts

RULES = {"greeting": ("Hello", "Good <time>"), "time": ("day", "night")}
LISTS = {"fruits": ("apple", "pear", "plum")}


@pytest.fixture
def grammar() -> Grammar:
    return Grammar(RULES, LISTS)


def test_parts_of_a_template() -> None:
    assert parts("<greeting>, {^name}!") == ("<greeting>", ", ", "{^name}", "!")


@pytest.mark.parametrize("text", ["Hello, Tom.", "Good day, Tom.", "Good night, Tom."])
def test_accepts_every_alternative(grammar: Grammar, text: str) -> None:
    assert grammar.matches(("<greeting>, {^name}.",), {"name": "tom"}, text)


@pytest.mark.parametrize("text", ["Hello, Tim.", "Good, Tom.", "Hello, Tom", "Hello, Tom. Tom.", "hello, Tom.", ""])
def test_refuses_everything_else(grammar: Grammar, text: str) -> None:
    assert not grammar.matches(("<greeting>, {^name}.",), {"name": "tom"}, text)


def test_a_list_slot_takes_any_member_and_writes_different_ones(grammar: Grammar) -> None:
    template, slots = ("{^item}, {item} and {item}.",), {"item": "@fruits"}
    for seed in range(20):
        text = grammar.sample(template, slots, random.Random(seed))
        assert grammar.matches(template, slots, text)
        assert len({word.strip(",.").lower() for word in text.replace(" and", "").split()}) == 3
    assert not grammar.matches(template, slots, "Apple, pear and cherry.")


def test_an_unbound_slot_is_an_error(grammar: Grammar) -> None:
    with pytest.raises(KeyError, match="name"):
        grammar.matches(("{name}",), {}, "Tom")


def test_contains_finds_a_part(grammar: Grammar) -> None:
    assert grammar.contains(("Good <time>",), {}, "So: Good night, then.")
    assert not grammar.contains(("Good <time>",), {}, "So: Good bye, then.")
