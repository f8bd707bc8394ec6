"""What enters the upper layers of an encoder, of every window of many texts: computed once for all folds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16, Int64
from torch import Tensor

from classifiers.embedding.encoder import SentenceEncoder
from classifiers.embedding.layers import lower_states
from classifiers.errors import FitError

BATCH_TOKENS = 8192
"""Of one forward pass, padding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerStates:
    """States of all tokens of all windows, one after the other; in half precision, which halves a gigabyte."""

    states: Float16[np.ndarray, "token d_model"]
    starts: Int64[np.ndarray, " window_plus_one"]
    """Of each window's tokens; the last one is the end."""
    text: Int64[np.ndarray, " window"]
    """Which text each window is of, ascending."""

    @property
    def lengths(self) -> Int64[np.ndarray, " window"]:
        """Tokens of each window."""
        return np.diff(self.starts)

    def padded(self, windows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """States [window, pos, d_model] in single precision and the mask [window, pos] of some windows."""
        parts = [np.asarray(self.states[self.starts[w] : self.starts[w + 1]]) for w in windows]
        longest = max(map(len, parts))
        hidden = torch.zeros(len(parts), longest, self.states.shape[1])
        mask = torch.zeros(len(parts), longest, dtype=torch.long)
        for row, part in enumerate(parts):
            hidden[row, : len(part)] = torch.from_numpy(part.astype(np.float32))
            mask[row, : len(part)] = 1
        return hidden, mask


def batches(lengths: Int64[np.ndarray, " window"], tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """Windows of each forward pass, alike lengths together, so that little is padded."""
    found: list[list[int]] = [[]]
    for window in np.argsort(lengths, kind="stable").tolist():
        if found[-1] and (len(found[-1]) + 1) * int(lengths[window]) > tokens:
            found.append([])
        found[-1].append(window)
    return found


def lower_states_of(
    encoder: SentenceEncoder,
    texts: Sequence[str],
    *,
    upper: int,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> LowerStates:
    """States below the last `upper` layers.

    Args:
        encoder: the one whose upper layers are to be fine-tuned.
        texts: one at least.
        upper: layers that are left out, above 0.
        cache: folder in which the states are kept, for processes to share; None to keep them in memory.
        progress: told (windows done, windows in all).

    Raises:
        ClassifierError: a text is too long.
        FitError: a file of the cache is not what it should be.
    """
    windows = encoder.token_windows(texts)
    lengths = np.array([len(ids) for _, ids in windows], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    text = np.array([n for n, _ in windows], dtype=np.int64)
    shape = (int(starts[-1]), encoder.d_model)
    digest = hashlib.sha256(json.dumps([encoder.sha256, upper, [ids for _, ids in windows]]).encode()).hexdigest()
    file = None if cache is None else cache / f"states-{digest[:16]}.npy"
    if file is not None and file.exists():
        return LowerStates(states=_mapped(file, shape), starts=starts, text=text)
    partial = None if file is None else file.with_suffix(f".{os.getpid()}.partial")
    if partial is None:
        states = np.empty(shape, dtype=np.float16)
    else:
        partial.parent.mkdir(parents=True, exist_ok=True)
        states = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    done = 0
    for batch in batches(lengths):
        hidden = _forward(encoder, [windows[n][1] for n in batch], upper)
        for row, n in enumerate(batch):
            states[starts[n] : starts[n + 1]] = hidden[row, : lengths[n]].numpy().astype(np.float16)
        done += len(batch)
        progress(done, len(windows))
    if file is not None and partial is not None:
        partial.replace(file)
        states = _mapped(file, shape)
    return LowerStates(states=states, starts=starts, text=text)


@torch.inference_mode()
def _forward(encoder: SentenceEncoder, windows: Sequence[list[int]], upper: int) -> Tensor:
    ids, mask = encoder.padded(windows)
    return lower_states(encoder.model, ids, mask, upper=upper)


def _mapped(file: Path, shape: tuple[int, int]) -> Float16[np.ndarray, "token d_model"]:
    try:
        found: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FitError(f"{file.name} of the cache cannot be read ({error}); remove it") from error
    if found.shape != shape or found.dtype != np.float16:
        raise FitError(f"{file.name} holds {found.dtype} of {found.shape}; wanted float16 of {shape}; remove it")
    return found
