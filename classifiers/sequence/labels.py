"""Judging with a sequence classifier: one logit a label, labels to categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from classifiers.errors import ClassifierError, MemberConfigError
from classifiers.sequence.config import LabelsConfig
from classifiers.sequence.loading import LoadedSequence


class LabelsJudge:
    """Log-odds of texts by a sequence classifier; of the windows of a long text, the highest by category."""

    def __init__(self, config: LabelsConfig, loaded: LoadedSequence) -> None:
        """Take what `load_sequence` reads.

        Raises:
            MemberConfigError: a label that the model does not have, or windows longer than its positions.
        """
        self._config, self._model, self._tokenizer = config, loaded.model, loaded.tokenizer
        names = {int(index): str(name) for index, name in loaded.model.config.id2label.items()}
        places = {label: _place(label, names) for label in config.labels}
        self._columns = [
            sorted({places[label] for label, mapped in config.labels.items() if mapped == category})
            for category in config.categories
        ]
        if config.activation == "softmax" and any(len(columns) == len(names) for columns in self._columns):
            raise MemberConfigError(f"all labels ({', '.join(names.values())}) mean one category; one means harmless")
        positions = getattr(loaded.model.config, "max_position_embeddings", None)
        if positions is not None and config.windows.tokens > positions:
            raise MemberConfigError(f"windows of {config.windows.tokens} tokens; the model has {positions} positions")

    def log_odds(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        """Uncalibrated.

        Raises:
            ClassifierError: a text has more windows than the limit.
        """
        windows, owners = self._cut(texts)
        highest = np.full((len(texts), len(self._columns)), -np.inf)
        order = sorted(range(len(windows)), key=lambda n: len(windows[n]["input_ids"]))
        for start in range(0, len(order), self._config.batch):
            batch = order[start : start + self._config.batch]
            found = self._forward([windows[n] for n in batch])
            np.maximum.at(highest, [owners[n] for n in batch], found)
        return highest

    def _cut(self, texts: Sequence[str]) -> tuple[list[dict[str, Any]], list[int]]:
        """The windows of all texts, and which text each is of."""
        limits = self._config.windows
        cut = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=limits.tokens,
            stride=limits.overlap,
            return_overflowing_tokens=True,
        )
        owners = [int(owner) for owner in cut.pop("overflow_to_sample_mapping")]
        most = int(np.bincount(owners).max())
        if most > limits.limit:
            raise ClassifierError(f"a text has {most} windows; wanted at most {limits.limit}")
        return [{name: cut[name][n] for name in cut} for n in range(len(owners))], owners

    @torch.inference_mode()
    def _forward(self, windows: Sequence[Mapping[str, Any]]) -> Float64[np.ndarray, "window category"]:
        padded = self._tokenizer.pad(list(windows), padding=True, return_tensors="pt").to(self._config.device)
        logits = self._model(**padded).logits.double()
        return np.stack([self._of_category(logits, columns).cpu().numpy() for columns in self._columns], axis=1)

    def _of_category(self, logits: Tensor, columns: Sequence[int]) -> Tensor:
        if self._config.activation == "sigmoid":
            return logits[:, columns].amax(dim=1)
        others = [n for n in range(logits.shape[1]) if n not in columns]
        return logits[:, columns].logsumexp(dim=1) - logits[:, others].logsumexp(dim=1)


def _place(label: str, names: Mapping[int, str]) -> int:
    for index, name in names.items():
        if name == label:
            return index
    if label.isdecimal() and int(label) in names:
        return int(label)
    raise MemberConfigError(
        f"the model has no label {label!r}; it has {', '.join(f'{n} ({i})' for i, n in names.items())}"
    )
