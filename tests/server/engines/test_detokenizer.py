"""Text comes out whole, once, and in linear time."""

from __future__ import annotations

import random

import pytest
from tiny_tokenizer import CONTROLS, tiny_tokenizer

from server.engines.embedded.detokenizer import MAX_HELD_TOKENS, IncrementalDetokenizer
from server.engines.embedded.stops import StopMatcher
from server.engines.embedded.tokenizer import HuggingFaceTokenizer

TEXTS = [
    "hello world",
    "zwölf Boxkämpfer jagen Viktor",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦 and 🏳️‍🌈!",
    "a\u0301 e\u0301 \ufeff mixed 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    " leading and trailing ",
    "real \ufffd replacement \ufffd characters",
]


def pieces(token_ids: list[int]) -> list[str]:
    tokenizer = HuggingFaceTokenizer(tiny_tokenizer())
    detokenizer = IncrementalDetokenizer(tokenizer.decode_list)
    return [*(detokenizer.push(i) for i in token_ids), detokenizer.flush()]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text_and_none_is_half_a_character(text: str) -> None:
    found = pieces(tiny_tokenizer().encode(text))
    assert "".join(found) == text
    if "\ufffd" not in text:
        assert all("\ufffd" not in piece for piece in found)


def test_each_character_comes_with_its_last_byte() -> None:
    assert pieces(tiny_tokenizer().encode("é日")) == ["", "é", "", "", "日", ""]


def test_a_reply_that_ends_in_half_a_character_drops_it() -> None:
    ids = tiny_tokenizer().encode("ab日")
    assert "".join(pieces(ids[:-1])) == "ab"


def test_control_tokens_have_no_text() -> None:
    ids = tiny_tokenizer().encode("a")
    assert "".join(pieces([*ids, CONTROLS.index("<|user|>"), *ids])) == "aa"


def test_a_character_after_garbage_is_whole() -> None:
    tokenizer = tiny_tokenizer()
    continuation_byte = tokenizer.encode("日")[1]
    found = "".join(pieces([continuation_byte] * (3 * MAX_HELD_TOKENS) + tokenizer.encode("日本!")))
    assert found.endswith("日本!")


def test_work_is_linear_even_on_garbage() -> None:
    decoded = 0
    tokenizer = HuggingFaceTokenizer(tiny_tokenizer())

    def counting(ids: list[int]) -> str:
        nonlocal decoded
        decoded += len(ids)
        return tokenizer.decode_list(ids)

    detokenizer = IncrementalDetokenizer(counting)
    generator = random.Random(0)
    for _ in range(3000):
        detokenizer.push(generator.randrange(262))
    garbage = tiny_tokenizer().encode("日")[1]
    for _ in range(3000):
        detokenizer.push(garbage)
    assert decoded < 6000 * 3 * MAX_HELD_TOKENS


@pytest.mark.parametrize(
    ("stops", "chunks", "wanted"),
    [
        (("END",), ["some EN", "D more"], "some "),
        (("END",), ["some E", "N", "x"], "some ENx"),
        (("aab",), ["aa", "a", "b"], "a"),
        (("xyz", "y"), ["ax", "yz"], "ax"),
        (("xyz", "y"), ["a", "xyz"], "ax"),
        (("xyz", "yz"), ["axyz"], "a"),
        (("\n\n",), ["one\n", "two\n", "\nthree"], "one\ntwo"),
        (("abc", "bcd"), ["ab", "cd"], ""),
        ((), ["any", "thing"], "anything"),
        (("ll",), ["hello"], "he"),
    ],
)
def test_stop_strings_across_borders(stops: tuple[str, ...], chunks: list[str], wanted: str) -> None:
    matcher = StopMatcher(stops)
    shown = ""
    for chunk in chunks:
        shown += matcher.push(chunk)
        # Never a beginning of a stop string at the end of what was shown, unless it turned out to be none.
        assert wanted.startswith(shown)
    shown += matcher.flush()
    assert shown == wanted


@pytest.mark.parametrize(
    ("stops", "early", "late", "wanted"),
    [
        (("END",), ["an END", " "], ["END"], "an END "),
        (("END",), ["some E"], ["ND more"], "some "),
        (("END",), ["some END"], [" more"], "some END more"),
        (("xyz", "y"), ["axy"], ["a", "y!"], "axya"),
        (("xyz", "y"), ["axy"], ["z"], "a"),
        (("aa",), ["aa"], ["a"], "a"),
        (("ab", "b"), ["a"], ["b"], ""),
    ],
)
def test_stop_strings_that_end_too_early_pass(
    stops: tuple[str, ...], early: list[str], late: list[str], wanted: str
) -> None:
    matcher = StopMatcher(stops)
    shown = "".join(matcher.push(text, may_stop=False) for text in early)
    assert not matcher.stopped
    shown += "".join(matcher.push(text) for text in late)
    assert shown + matcher.flush() == wanted


def test_text_is_held_back_only_while_it_may_begin_a_stop_string() -> None:
    matcher = StopMatcher(["STOP"])
    assert [matcher.push(c) for c in "a STO P"] == ["a", " ", "", "", "", "STO ", "P"]
