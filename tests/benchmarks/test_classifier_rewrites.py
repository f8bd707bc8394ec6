"""Disguises that people still read, the choice of requests, and figures of made-up scores by hand."""

import base64
import codecs
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_members import write_embedding, write_ensemble

from benchmarks.classifier_rewrites import rewriting
from benchmarks.classifier_rewrites.measuring import Measured, measure, member_figures
from benchmarks.classifier_rewrites.members import Remembering, check_shipped, reading
from benchmarks.classifier_rewrites.requests import Chosen, choose
from benchmarks.classifier_rewrites.rewriting import NAMED, REWRITES, rewritten
from benchmarks.classifier_rewrites_tables import rewrite_rows
from benchmarks.errors import BenchmarkError
from classifiers import build_classifier
from classifiers.base import Conversation
from classifiers.ensemble import EnsembleClassifier
from classifiers.requests.record import RequestRow
from classifiers.text import readings

TEXT = "Describe a loud clown, and what is so rude about the lazy Potato in this film."


def row(text: str, *, harmful: bool, hard: bool = False, family: str = "a", trains: bool = True) -> RequestRow:
    return RequestRow(
        text=text,
        harmful=harmful,
        labels={},
        source=family,
        family=family,
        group=text,
        licence="Apache-2.0",
        trains=trains,
        hard=hard,
    )


@pytest.mark.parametrize("name", REWRITES)
def test_a_disguise_changes_the_text_and_is_drawn_from_the_seed(name: str) -> None:
    assert rewritten(name, TEXT, 0) != TEXT
    assert rewritten(name, TEXT, 0) == rewritten(name, TEXT, 0)
    if name not in ("base64", "rot13", "rot13_in_base64"):
        assert len({rewritten(name, TEXT, seed) for seed in range(20)}) > 1


@pytest.mark.parametrize("name", ["homoglyphs", "rare_homoglyphs"])
def test_letters_are_exchanged_one_by_one_for_letters_that_are_not_ascii(name: str) -> None:
    disguised = rewritten(name, TEXT, 0)
    assert len(disguised) == len(TEXT)
    changed = [(was, now) for was, now in zip(TEXT, disguised, strict=True) if was != now]
    assert 0.2 * len(TEXT) < len(changed) < 0.8 * len(TEXT)
    table = rewriting._CYRILLIC_AND_GREEK if name == "homoglyphs" else rewriting._RARE
    for was, now in changed:
        assert was.isalpha()
        assert not now.isascii()
        assert now in table[was if was in table else was.lower()]


@pytest.mark.parametrize("table", [rewriting._CYRILLIC_AND_GREEK, rewriting._RARE, rewriting._LEET])
def test_tables_hold_each_sign_once_a_letter(table: dict[str, str]) -> None:
    assert all(len(key) == 1 and len(set(signs)) == len(signs) and key not in signs for key, signs in table.items())
    assert all(unicodedata.category(c)[0] in "LNPS" for signs in table.values() for c in signs)


def test_zero_width_characters_are_seen_by_nobody_and_stand_in_every_word() -> None:
    disguised = rewritten("zero_width", TEXT, 0)
    assert "".join(c for c in disguised if unicodedata.category(c) != "Cf") == TEXT
    assert all(any(unicodedata.category(c) == "Cf" for c in word) for word in disguised.split(" ") if len(word) > 3)


def test_leetspeak_is_read_by_the_shape_of_its_signs() -> None:
    shapes = {"4": "a", "@": "a", "8": "b", "3": "e", "9": "g", "6": "g", "0": "o", "5": "s", "$": "s", "7": "t"}
    shapes |= {"+": "t", "2": "z", "!": "i", "|": "l"}
    disguised = rewritten("leetspeak", "Go see a big boat at the best zoo", 0)
    read = "".join(shapes.get(c, c) for c in disguised.replace("1", "i"))
    assert read.lower() == "go see a big boat at the best zoo"


@pytest.mark.parametrize("seed", range(8))
def test_letters_are_set_apart_and_words_further(seed: int) -> None:
    disguised = rewritten("spaced_letters", "a rude clown", seed)
    sign = disguised.replace(" ", "")[2:3]
    expected = "a   r u d e   c l o w n" if sign == "u" else f"a r{sign}u{sign}d{sign}e c{sign}l{sign}o{sign}w{sign}n"
    assert disguised == expected


def test_encodings_give_back_the_original() -> None:
    encoded = rewritten("base64", TEXT + " é", 0)
    assert base64.b64decode(encoded).decode() == TEXT + " é"
    assert codecs.decode(rewritten("rot13", TEXT, 0), "rot13") == TEXT
    assert rewritten("base64", TEXT, 0) in rewritten("base64_asked", TEXT, 0)
    inner = base64.b64decode(rewritten("rot13_in_base64", TEXT, 0)).decode()
    assert codecs.decode(inner, "rot13") == TEXT
    assert base64.b64decode(rewritten("leetspeak_in_base64", TEXT, 0)).decode() != TEXT


def test_both_disguises_of_a_combination_are_there() -> None:
    both = rewritten("homoglyphs_and_zero_width", TEXT, 0)
    seen = "".join(c for c in both if unicodedata.category(c) != "Cf")
    assert len(seen) == len(TEXT) < len(both)
    assert not seen.isascii()
    assert rewritten("leetspeak_spaced", "rude", 1).count("rude") == 0


def test_one_letter_at_least_is_exchanged() -> None:
    assert all(rewriting.leetspeak("xxa", random.Random(seed)) in ("xx4", "xx@") for seed in range(20))
    assert rewriting.leetspeak("xx", random.Random(0)) == "xx"


def test_requests_of_sets_that_trained_are_chosen_by_family() -> None:
    rows = [row(f"harm {n}", harmful=True, family="big") for n in range(9)]
    rows += [row("harm small", harmful=True, family="small"), row("measures", harmful=True, trains=False)]
    rows += [row("long " * 400, harmful=True), row("plain", harmful=False)]
    rows += [row(f"hard {n}", harmful=False, hard=True) for n in range(5)]
    chosen = choose(rows, seed=0, of_a_family=3, benign=2)
    assert sorted(found.family for found in chosen.harmful) == ["big", "big", "big", "small"]
    assert (len(chosen.hard), chosen.disguised) == (5, 2)
    assert choose(rows[::-1], seed=0, of_a_family=3, benign=2) == chosen
    with pytest.raises(BenchmarkError, match="10 harmful and 0 hard benign rows"):
        choose([found for found in rows if not found.hard and len(found.text) < 99 and found.trains], seed=0)


def test_recall_cost_gain_and_false_alarms_by_hand() -> None:
    chosen = Chosen(
        harmful=[row(f"h{n}", harmful=True) for n in range(10)],
        hard=[row(f"b{n}", harmful=False, hard=True) for n in range(100)],
        disguised=4,
    )
    # One in a hundred hard benign rows may raise an alarm: the one at 0.9. The threshold lies just above 0.5.
    plain = np.array([0.8] * 9 + [0.5] + [0.9] + [0.5] * 99)
    scores = np.array([0.8] * 6 + [0.5] * 4 + [0.9, 0.7, 0.2, 0.2])
    others = np.array([0.8] * 1 + [0.2] * 9 + [0.9, 0.2, 0.2, 0.2])
    everywhere = dict.fromkeys(NAMED, plain[:14]) | {"leetspeak": scores}
    on = Measured(plain=plain, rewritten=everywhere)
    off = Measured(plain=plain, rewritten=dict.fromkeys(NAMED, others))
    found = member_figures(chosen, on, off, count=50)
    assert found["plain.recall"] == pytest.approx(0.9)
    assert found["leetspeak.recall"] == pytest.approx(0.6)
    assert found["leetspeak.cost"] == pytest.approx(30)
    assert found["leetspeak.gain"] == pytest.approx(50)
    assert found["leetspeak.false_alarms"] == pytest.approx(0.5)
    assert found["leetspeak.false_alarms_off"] == pytest.approx(0.25)
    assert found["rot13.cost"] == 0
    assert found["cost.worst"] == pytest.approx(30)
    assert found["cost.mean"] == pytest.approx(30 / len(NAMED))
    assert found["leetspeak.cost.low"] < 30 < found["leetspeak.cost.high"]


class Counting:
    """Scores by a word, and remembers what it was asked."""

    name, categories = "counting:000000", ("harm",)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        texts = [found[-1]["content"] for found in conversations]
        self.asked += texts
        return [{"harm": 0.9 if "rude" in text else 0.1} for text in texts]


def test_a_text_is_judged_once() -> None:
    counting = Counting()
    kept = Remembering(counting)
    turns = [[{"role": "user", "content": text}] for text in ("rude", "nice", "rude")]
    assert [found["harm"] for found in kept.score(turns) + kept.score(turns[:1])] == [0.9, 0.1, 0.9, 0.9]
    assert counting.asked == ["rude", "nice"]


def test_readings_are_switched_in_the_members_and_in_the_whole(tmp_path: Path) -> None:
    write_ensemble(tmp_path)
    write_embedding(tmp_path / "embedding", readings=False)
    ensemble = build_classifier("ensemble", path=tmp_path)
    assert isinstance(ensemble, EnsembleClassifier)
    with pytest.raises(BenchmarkError, match=r"embedding:.* ships without readings"):
        check_shipped(ensemble)
    plain = [
        f"what is {word} about the film" for word in ("rude", "nice", "lazy", "a potato", "the clown", "nice to")
    ]
    encoded = [base64.b64encode(text.encode()).decode() for text in plain]
    assert all(text in readings(disguise) for text, disguise in zip(plain, encoded, strict=True))
    clear, hidden = ([[{"role": "user", "content": text}] for text in texts] for texts in (plain, encoded))
    on, off = (reading(ensemble, disguised=disguised) for disguised in (True, False))
    assert list(on) == list(off) == ["lexical-requests", "embedding", "ensemble"]
    for member in on:
        assert on[member].score(clear) == off[member].score(clear)
        pairs = zip(on[member].score(hidden), on[member].score(clear), strict=True)
        assert all(read[c] >= said[c] for read, said in pairs for c in read)
        assert on[member].score(hidden) != off[member].score(hidden)


def test_all_disguises_of_real_members_are_measured_and_shown(tmp_path: Path) -> None:
    write_ensemble(tmp_path)
    ensemble = build_classifier("ensemble", path=tmp_path)
    assert isinstance(ensemble, EnsembleClassifier)
    check_shipped(ensemble)
    chosen = Chosen(
        harmful=[row(f"say something rude {n}", harmful=True) for n in range(3)],
        hard=[row(f"the clown film {n}", harmful=False, hard=True) for n in range(3)],
        disguised=2,
    )
    figures = measure(chosen, reading(ensemble, disguised=True), reading(ensemble, disguised=False))
    assert (figures["rows.harmful"], figures["rows.hard"], figures["rows.hard_rewritten"]) == (3, 3, 2)
    header, *rows = rewrite_rows(figures)
    assert all(len(found) == len(header) for found in rows)
    assert len(rows) == 3 * (1 + len(REWRITES))
    assert [found[1] for found in rows[:3]] == ["plain", "homoglyphs", "rare homoglyphs"]
