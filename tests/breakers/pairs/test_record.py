"""What is a pair, what is none, and when two are the same."""

from __future__ import annotations

from typing import Any

import pytest
from pair_records import pair

from breakers.errors import PairsError
from breakers.pairs.record import Message, as_dicts, from_dicts, pair_key, prompt_key, user_turn


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neutral": ""}, "neutral: found no text"),
        ({"harmful": " \n"}, "harmful: found no text"),
        ({"neutral": " You are a turnip. "}, "neutral: found the same text as in harmful"),
        ({"behaviour": ""}, "behaviour: found no text"),
        ({"licence": " "}, "licence: found no text"),
        ({"messages": ()}, "messages: found no turns"),
        (
            {"messages": (Message(role="tool", content="x"),)},
            r"messages\[0\].role: found 'tool'; wanted one of system",
        ),
        (
            {"messages": (Message(role="assistant", content="x"),)},
            "found a last turn of assistant; wanted the user's",
        ),
        ({"messages": user_turn(" ")}, r"messages\[0\].content: found no text"),
        ({"messages": user_turn("\ud800")}, "half of a surrogate pair"),
        ({"contrast_prompt": user_turn("You are a clown.")}, "contrast_prompt: found the prompt itself"),
        ({"contrast_prompt": ()}, "contrast_prompt: found no turns"),
    ],
)
def test_what_is_no_pair_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PairsError, match=said):
        pair(**changes)


def test_prompts_are_the_same_by_the_words_of_their_last_turn() -> None:
    system = Message(role="system", content="Be brief.")
    assert prompt_key(user_turn("You are a CLOWN!")) == prompt_key((system, *user_turn("you are a  clown")))
    assert prompt_key(user_turn("ﬁne")) == prompt_key(user_turn("fine"))
    assert prompt_key(user_turn("You are a clown.")) != prompt_key(user_turn("You are a crown."))
    # Without words there is still something to tell prompts apart by.
    assert prompt_key(user_turn("?!")) != prompt_key(user_turn("!!"))


def test_duplicates_are_the_same_but_for_case_and_spacing() -> None:
    turns = user_turn("What is 2 - 7?")
    assert pair_key(turns, "It is 5.", "-5") == pair_key(turns, "it is  5.", "-5 ")
    assert pair_key(turns, "It is 5.", "-5") != pair_key(turns, "It is 5.", "5")
    assert pair_key(turns, "a", "b") != pair_key(turns, "b", "a")
    # What is one turn here is two there.
    split = (Message(role="user", content="a"), Message(role="user", content="b"))
    assert pair_key(split, "x", "y") != pair_key(user_turn("a user b"), "x", "y")


def test_turns_go_to_dicts_and_back() -> None:
    turns = (Message(role="system", content="Be brief."), *user_turn("Hello"))
    assert from_dicts(as_dicts(turns)) == turns
