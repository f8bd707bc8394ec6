"""Splits: no prompt in two of them, whatever is linked with whatever, and whatever the order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_records import prompt

from breakers.errors import PairsError
from breakers.pairs.record import Split, prompt_key
from breakers.pairs.splitting import SplitShares, assign_splits, split_of

SHARES = SplitShares(validation=0.3, test=0.3)
WORDS = st.integers(0, 30).map(str)
PROMPTS = st.lists(
    st.tuples(WORDS, st.none() | WORDS.map(lambda word: f"{word}!"), st.none() | st.sampled_from("ab")), max_size=25
)
"""Plain values: what is checked with beartype must not be made inside a strategy, because beartype draws lots."""


@settings(max_examples=60, deadline=None)
@given(PROMPTS, st.integers())
def test_what_belongs_together_is_in_one_split_in_any_order(
    values: list[tuple[str, str | None, str | None]], seed: int
) -> None:
    rng = random.Random(seed)
    prompts = [prompt(text, contrast, origin=origin) for text, contrast, origin in values]
    splits = assign_splits(prompts, SHARES)
    owner: dict[str, Split | None] = {}
    origins: dict[str, Split | None] = {}
    for one, split in zip(prompts, splits, strict=True):
        assert owner.setdefault(prompt_key(one.messages), split) is split is not None
        if one.origin is not None:
            assert origins.setdefault(one.origin, split) is split
    for one, split in zip(prompts, splits, strict=True):
        if one.contrast_prompt is not None:
            assert owner.get(prompt_key(one.contrast_prompt), split) is split
    order = list(range(len(prompts)))
    rng.shuffle(order)
    assert assign_splits([prompts[at] for at in order], SHARES) == [splits[at] for at in order]


@settings(deadline=None)
@given(WORDS)
def test_a_prompt_alone_goes_where_its_own_hash_says(word: str) -> None:
    assert assign_splits([prompt(word)], SHARES) == [split_of(prompt_key(prompt(word).messages), SHARES)]


def test_shares_are_met_on_many_prompts() -> None:
    splits = assign_splits([prompt(f"prompt number {n}") for n in range(4000)], SplitShares(validation=0.2, test=0.1))
    # Four standard errors of a share of 4000 draws.
    assert splits.count(Split.VALIDATION) / 4000 == pytest.approx(0.2, abs=0.026)
    assert splits.count(Split.TEST) / 4000 == pytest.approx(0.1, abs=0.02)


def test_a_source_may_have_splits_of_its_own() -> None:
    given_split = [prompt(str(n), split=Split.VALIDATION) for n in range(20)]
    assert set(assign_splits(given_split, SHARES)) == {Split.VALIDATION}
    # What belongs to it follows; what its source put elsewhere cannot be used.
    linked = [prompt("a"), prompt("b", "a", split=Split.VALIDATION), prompt("A!", split=Split.TRAIN)]
    assert assign_splits(linked, SHARES) == [Split.VALIDATION, Split.VALIDATION, None]


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(PairsError, match=r"0\.6 for validation and 0\.6 for test"):
        SplitShares(validation=0.6, test=0.6)
    with pytest.raises(PairsError, match="wanted both at least 0"):
        SplitShares(validation=-0.1)
