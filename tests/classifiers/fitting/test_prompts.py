"""Deduplication before splitting, splits that follow from the text, seeded samples."""

import pytest

from classifiers.errors import FitError
from classifiers.fitting.prompts import (
    LabelledPrompt,
    Split,
    SplitShares,
    deduplicate,
    prompts_sha256,
    sample,
    split_of,
)


def prompt(text: str, source: str = "a", label: bool = True) -> LabelledPrompt:
    return LabelledPrompt(text=text, labels={"toxicity": label}, source=source)


def test_the_first_of_equal_texts_is_kept() -> None:
    kept = deduplicate([prompt("You clown!"), prompt("you  CLOWN", "b"), prompt("?!"), prompt("you clowns", "b")])
    assert [(p.text, p.source) for p in kept] == [("You clown!", "a"), ("you clowns", "b")]


def test_a_split_depends_on_the_normalised_text_and_keeps_its_shares() -> None:
    shares = SplitShares(calibration=0.1, heldout=0.2)
    splits = [split_of(f"prompt number {i}", shares) for i in range(4000)]
    assert split_of("Prompt: NUMBER 7!", shares) == splits[7]
    assert splits.count(Split.HELDOUT) / 4000 == pytest.approx(0.2, abs=0.03)
    assert splits.count(Split.CALIBRATION) / 4000 == pytest.approx(0.1, abs=0.03)


def test_samples_are_seeded_and_keep_their_order() -> None:
    prompts = [prompt(f"p{i}") for i in range(50)]
    first = sample(prompts, 10, seed=1)
    assert len(first) == 10
    assert first == sample(prompts, 10, seed=1)
    assert first != sample(prompts, 10, seed=2)
    assert [prompts.index(p) for p in first] == sorted(prompts.index(p) for p in first)
    assert sample(prompts, 99, seed=1) == prompts
    with pytest.raises(FitError):
        sample(prompts, 0, seed=1)


def test_the_hash_sees_texts_labels_and_order() -> None:
    a, b = prompt("one"), prompt("two")
    hashes = {prompts_sha256(x) for x in ([a, b], [b, a], [a], [prompt("one", label=False), b])}
    assert len(hashes) == 4
