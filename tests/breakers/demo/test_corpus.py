"""The corpus follows from its seed, its splits share no prompt, and its contrast prompts are as long."""

from __future__ import annotations

import itertools

import pytest

from breakers.demo.corpus import KINDS, UnknownKindError, calibration, generate, heldout, training
from breakers.demo.corpus.base import DemoExample, Draft, normalise, split_of, without_frills

PROVOKING = ("toxicity", "gender_bias", "misinformation", "mixed")


def prompts(examples: list[DemoExample]) -> set[str]:
    return {normalise(example.messages[-1]["content"]) for example in examples}


@pytest.fixture(scope="module")
def train_prompts() -> set[str]:
    examples = itertools.islice(generate(3), 10_000)
    return {normalise(m["content"]) for e in examples for m in e.messages if m["role"] == "user"}


def test_the_same_seed_gives_the_same_examples() -> None:
    first, again = (list(itertools.islice(generate(5), 300)) for _ in range(2))
    assert first == again
    assert first != list(itertools.islice(generate(6), 300))


@pytest.mark.parametrize("kind", KINDS)
def test_splits_are_deterministic_and_share_no_prompt(kind: str, train_prompts: set[str]) -> None:
    held, calibrating = heldout(kind, 300, 1), calibration(kind, 200, 1)
    assert held == heldout(kind, 300, 1)
    assert prompts(held).isdisjoint(prompts(calibrating))
    assert prompts(held + calibrating).isdisjoint(train_prompts)
    assert {example.split for example in held} == {"heldout"}
    assert {example.kind for example in held} == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_a_thousand_held_out_prompts(kind: str) -> None:
    assert len(prompts(heldout(kind, 1000, 2))) == 1000


def test_training_examples_of_one_kind() -> None:
    examples = training("facts", 50, 1)
    assert {(e.kind, e.split) for e in examples} == {("facts", "train")}
    assert len(prompts(examples)) == 50


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownKindError, match="unknown kind 'poetry'; the corpus has smalltalk, facts"):
        heldout("poetry", 1, 0)


@pytest.mark.parametrize("kind", PROVOKING)
def test_contrast_prompts_differ_by_few_words_and_stay_neutral(kind: str) -> None:
    examples = heldout(kind, 200, 4)
    paired = [example for example in examples if example.contrast_prompt is not None]
    assert len(paired) > 0.9 * len(examples)
    for example in paired:
        ours, theirs = (m[-1]["content"].split() for m in (example.messages, example.contrast_prompt or []))
        changed = sum(a != b for a, b in zip(ours, theirs, strict=True))
        assert 1 <= changed <= 5
        assert example.contrast_prompt[:-1] == example.messages[:-1]


@pytest.mark.parametrize("kind", PROVOKING)
def test_both_replies_are_there(kind: str) -> None:
    assert all(e.harmful_reply and e.neutral_reply for e in training(kind, 50, 0))
    assert all(e.harmful_reply is None for e in training("facts", 50, 0))


def test_openers_and_thanks_do_not_decide_the_split() -> None:
    assert without_frills("hello please what is up thank you") == "what is up"
    assert without_frills("please") == "please"
    splits = {
        split_of(Draft(kind="facts", prompt="", key=key, slots={}, neutral=()))
        for key in ("name a fruit", "please name a fruit", "hi name a fruit thanks")
    }
    assert len(splits) == 1
