"""Sentence vectors are kept, found again, and given to the text that they are of."""

from pathlib import Path

import numpy as np
import pytest
from tiny_members import tiny_encoder, wordpiece

from classifiers.embedding.encoder import SentenceEncoder, TokenWindows, WindowVectors
from classifiers.errors import FitError
from classifiers.fitting.requests import vectors
from classifiers.fitting.requests.vectors import encoded

TEXTS = ["you are a clown " * 6, "what is a film", "say something rude", "what is a film", "nice potato " * 8]


class Counting(SentenceEncoder):
    """A tiny encoder that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(
            tiny_encoder(), wordpiece(), name="tiny", sha256="a" * 64, windows=TokenWindows(tokens=12, overlap=2)
        )
        self.asked: list[str] = []

    def encode_windows(self, texts: list[str]) -> WindowVectors:
        self.asked += texts
        return super().encode_windows(texts)


def test_each_text_gets_its_own_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 2)
    encoder = Counting()
    found = encoded(encoder, TEXTS, cache=tmp_path)
    assert sorted(encoder.asked) == sorted(set(TEXTS))
    plain = SentenceEncoder.encode_windows(encoder, TEXTS)
    np.testing.assert_array_equal(found.text, plain.text)
    np.testing.assert_allclose(found.vectors, plain.vectors, atol=1e-5)
    again = Counting()
    more = encoded(again, [*reversed(TEXTS), "please"], cache=tmp_path)
    assert again.asked == ["please"]
    np.testing.assert_array_equal(more.vectors[more.text == 4], found.vectors[found.text == 0])
    assert (found.text == 0).sum() > 1


def test_means_are_of_length_1() -> None:
    found = encoded(Counting(), TEXTS)
    means = found.means()
    sums = found.vectors[found.text == 0].sum(axis=0)
    np.testing.assert_allclose(means[0], sums / np.linalg.norm(sums), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(means[1], means[3])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    encoded(Counting(), TEXTS, cache=tmp_path)
    [file] = tmp_path.iterdir()
    file.write_bytes(b"half")
    with pytest.raises(FitError, match="cannot be read"):
        encoded(Counting(), TEXTS, cache=tmp_path)
