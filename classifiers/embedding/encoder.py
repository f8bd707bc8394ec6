"""Text to vectors: windows of tokens, mean pooling over a window, length 1. In batches of windows of like length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertModel

from classifiers.embedding.files import (
    PACKAGE,
    encoder_sha256,
    package_folder,
    read_files,
    read_model,
    read_tokenizer,
)
from classifiers.embedding.layers import with_upper_tensors
from classifiers.errors import ArtifactError, ClassifierError

BATCH_TOKENS = 8192
"""Tokens of one forward pass, padding included."""
_ENDS = 2
"""[CLS] and [SEP]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWindows:
    """How texts over the encoder's length are cut."""

    tokens: int = 256
    """Of one window, [CLS] and [SEP] included."""
    overlap: int = 32
    """Tokens that a window shares with the one before it."""
    limit: int = 64
    """Windows of one text; longer texts are refused, so that one request cannot take a minute of everybody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowVectors:
    """The vectors of some texts' windows."""

    vectors: Float32[np.ndarray, "window d_model"]
    """Of length 1, in order of the texts and of the windows within each."""
    text: Int64[np.ndarray, " window"]
    """Which text each window is of."""
    tokens: Int64[np.ndarray, " window"]
    """Of each window."""


class SentenceEncoder:
    """A BERT encoder with mean pooling, on the CPU."""

    def __init__(
        self,
        model: BertModel,
        tokenizer: Tokenizer,
        *,
        name: str,
        sha256: str,
        windows: TokenWindows = TokenWindows(),
    ) -> None:
        """Take what `load` reads.

        Raises:
            ArtifactError: windows are longer than the model has positions, or overlap wholly.
        """
        positions = int(model.config.max_position_embeddings)
        if not windows.overlap + _ENDS < windows.tokens <= positions:
            raise ArtifactError(
                f"windows of {windows.tokens} tokens that share {windows.overlap}; wanted at most {positions} "
                f"tokens, {_ENDS} more than they share at least"
            )
        self.name = name
        """As requests for embeddings name it."""
        self.sha256 = sha256
        self.d_model = int(model.config.hidden_size)
        self.model = model
        self._tokenizer, self._windows = tokenizer, windows
        self._first, self._last, self._padding = (_token_id(tokenizer, t) for t in ("[CLS]", "[SEP]", "[PAD]"))

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, name: str, windows: TokenWindows) -> SentenceEncoder:
        """The encoder that `files` hold.

        Raises:
            ArtifactError: they cannot be read or do not fit each other.
        """
        sha256 = encoder_sha256(files)
        return cls(read_model(files), read_tokenizer(files), name=name, sha256=sha256, windows=windows)

    @classmethod
    def load(cls, folder: Path | None = None, *, windows: TokenWindows = TokenWindows()) -> SentenceEncoder:
        """The encoder in a folder; None for the installed package's.

        Raises:
            ArtifactError: the package is not installed, or the files cannot be read.
        """
        files = read_files(package_folder() if folder is None else folder)
        return cls.from_files(files, name=PACKAGE if folder is None else folder.name, windows=windows)

    def with_upper_layers(self, tensors: Mapping[str, Tensor], *, sha256: str) -> SentenceEncoder:
        """This encoder with other weights in its last layers, sharing everything else.

        Args:
            tensors: whole layers, called as in the model.
            sha256: what names them.

        Raises:
            ArtifactError: they are not the weights of the last layers.
        """
        return SentenceEncoder(
            with_upper_tensors(self.model, tensors),
            self._tokenizer,
            name=f"encoder:{sha256[:6]}",
            sha256=sha256,
            windows=self._windows,
        )

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "text d_model"]:
        """One vector of length 1 a text; of a text of several windows the mean of theirs, by their tokens.

        Raises:
            ClassifierError: a text has more windows than the limit.
        """
        found = self.encode_windows(texts)
        sums = np.zeros((len(texts), self.d_model), dtype=np.float32)
        np.add.at(sums, found.text, found.vectors * found.tokens[:, None].astype(np.float32))
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        means: Float32[np.ndarray, "text d_model"] = sums / np.maximum(norms, np.float32(1e-12))
        return means

    def encode_windows(self, texts: Sequence[str]) -> WindowVectors:
        """A vector for each window of each text; each text has one window at least.

        Raises:
            ClassifierError: a text has more windows than the limit.
        """
        windows = self.token_windows(texts)
        vectors = np.zeros((len(windows), self.d_model), dtype=np.float32)
        lengths = np.array([len(ids) for _, ids in windows], dtype=np.int64)
        for batch in _batches(lengths):
            vectors[batch] = self._forward([windows[n][1] for n in batch]).numpy()
        return WindowVectors(vectors=vectors, text=np.array([n for n, _ in windows], dtype=np.int64), tokens=lengths)

    def token_windows(self, texts: Sequence[str]) -> list[tuple[int, list[int]]]:
        """(number of the text, token ids) of every window, in order.

        Raises:
            ClassifierError: a text has more windows than the limit.
        """
        return [(n, window) for n, ids in enumerate(self._token_ids(texts)) for window in self._cut(ids)]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, [CLS] and [SEP] included."""
        return [len(ids) + _ENDS for ids in self._token_ids(texts)]

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _cut(self, ids: list[int]) -> Iterator[list[int]]:
        room = self._windows.tokens - _ENDS
        step = room - self._windows.overlap
        starts = range(0, max(len(ids) - self._windows.overlap, 1), step)
        if len(starts) > self._windows.limit:
            raise ClassifierError(
                f"a text of {len(ids)} tokens has {len(starts)} windows; wanted at most {self._windows.limit}"
            )
        for start in starts:
            yield [self._first, *ids[start : start + room], self._last]

    def padded(self, windows: Sequence[list[int]]) -> tuple[Int64[Tensor, "window pos"], Int64[Tensor, "window pos"]]:
        """Token ids of windows, padded to the longest, and their mask."""
        longest = max(map(len, windows))
        ids = torch.full((len(windows), longest), self._padding)
        mask = torch.zeros(len(windows), longest, dtype=torch.long)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
            mask[row, : len(window)] = 1
        return ids, mask

    @torch.inference_mode()
    def _forward(self, windows: Sequence[list[int]]) -> Float[Tensor, "window d_model"]:
        ids, mask = self.padded(windows)
        return pooled(self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


def _token_id(tokenizer: Tokenizer, token: str) -> int:
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise ArtifactError(f"the encoder's tokenizer has no {token}")
    return found


def pooled(hidden: Float[Tensor, "batch pos d_model"], mask: Tensor) -> Float[Tensor, "batch d_model"]:
    """The mean over the tokens that are no padding, of length 1."""
    weights = mask.to(hidden.dtype)[:, :, None]
    means = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    return torch.nn.functional.normalize(means, dim=1)


def _batches(lengths: Int64[np.ndarray, " window"]) -> Iterator[list[int]]:
    """Indices of the windows of each forward pass, the shortest first, so that little is padded."""
    batch: list[int] = []
    for n in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * int(lengths[n]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch
