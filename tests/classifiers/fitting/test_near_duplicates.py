"""Similarity by hand, and the index against every pair compared exactly."""

import random

import pytest

from classifiers.fitting.near_duplicates import SketchIndex, jaccard, shingles, words_of


def test_shingles_are_words_and_neighbours() -> None:
    assert words_of("The Bridge, the river!") == ["the", "bridge", "the", "river"]
    assert shingles(["a", "b", "a"]) == {"a", "b", "a b", "b a"}


def test_similarity_is_the_share_in_common() -> None:
    assert jaccard({"a", "b"}, {"b", "c"}) == pytest.approx(1 / 3)
    assert jaccard({"a"}, {"a"}) == 1.0
    assert jaccard(set(), set()) == 0.0


def test_the_index_finds_what_an_exact_search_finds() -> None:
    random.seed(0)
    vocabulary = [f"word{n}" for n in range(200)]
    base = [random.choices(vocabulary, k=20) for _ in range(60)]
    texts = base + [[*text[:-1], "changed"] for text in base]
    sets = [shingles(text) for text in texts]
    index, missed, pairs = SketchIndex(0.4), 0, 0
    for number, found in enumerate(sets):
        sketch = index.sketch(found)
        similar = index.similar(sketch)
        assert similar == sorted(similar)
        exact = {other for other in range(number) if jaccard(found, sets[other]) >= 0.8}
        pairs += len(exact)
        missed += len(exact - set(similar))
        index.add(number, sketch)
    assert pairs >= 60
    assert missed == 0
