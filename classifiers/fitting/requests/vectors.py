"""Sentence vectors of many texts, kept on disk: the encoder is the dear part of fitting a head on it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from classifiers.embedding.encoder import SentenceEncoder
from classifiers.errors import FitError

CHUNK = 2048
"""Texts that are encoded, and then written, at a time."""

Windows = Float32[np.ndarray, "window d_model"]
"""The vectors of one text's windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVectors:
    """The vectors of the windows of some texts."""

    vectors: Float32[np.ndarray, "window d_model"]
    text: Int64[np.ndarray, " window"]
    """Which text each window is of, ascending."""

    def means(self) -> Float32[np.ndarray, "text d_model"]:
        """One vector of length 1 a text: what a head is fitted on."""
        first = np.flatnonzero(np.diff(self.text, prepend=-1))
        sums: Float32[np.ndarray, "text d_model"] = np.add.reduceat(self.vectors, first, axis=0)
        means: Float32[np.ndarray, "text d_model"] = sums / np.maximum(
            np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-12)
        )
        return means


def encoded(
    encoder: SentenceEncoder,
    texts: Sequence[str],
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> TextVectors:
    """Vectors of `texts`; those that the folder `cache` holds are not computed again.

    Args:
        encoder: what encodes.
        texts: what to encode, one at least.
        cache: a folder, which several encoders may share; None to keep nothing.
        progress: told how many texts are encoded, and how many were to be.

    Raises:
        FitError: a file of the cache cannot be read.
    """
    file = None if cache is None else cache / f"vectors-{encoder.sha256[:16]}.npz"
    known = {} if file is None else _read(file)
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    missing = sorted({digest: n for n, digest in enumerate(digests) if digest not in known}.values())
    # Alike lengths together, so that little is padded.
    missing.sort(key=lambda n: len(texts[n]))
    for start in range(0, len(missing), CHUNK):
        chosen = missing[start : start + CHUNK]
        found = encoder.encode_windows([texts[n] for n in chosen])
        known |= {digests[n]: found.vectors[found.text == own] for own, n in enumerate(chosen)}
        if file is not None:
            _write(file, known)
        progress(start + len(chosen), len(missing))
    windows = [known[digest] for digest in digests]
    counts = [len(each) for each in windows]
    return TextVectors(vectors=np.concatenate(windows), text=np.repeat(np.arange(len(texts)), counts))


def _write(file: Path, known: Mapping[str, Windows]) -> None:
    """Whole or not at all: a process that is stopped while it writes leaves no half file under the name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    counts = np.array([len(each) for each in known.values()])
    with partial.open("wb") as stream:
        np.savez(stream, digests=np.array(list(known)), counts=counts, vectors=np.concatenate([*known.values()]))
    partial.replace(file)


def _read(file: Path) -> dict[str, Windows]:
    if not file.exists():
        return {}
    try:
        with np.load(file, allow_pickle=False) as stored:
            parts = np.split(stored["vectors"], np.cumsum(stored["counts"])[:-1])
            return dict(zip(stored["digests"].tolist(), parts, strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise FitError(f"{file.name} of the cache cannot be read ({error}); remove it") from error
