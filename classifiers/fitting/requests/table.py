"""All labelled requests as one table, and which of them a fit may see when families of sets are left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from classifiers.errors import FitError
from classifiers.fitting.prompts import Split, normalised
from classifiers.requests.leaving_out import LeftOut, lodo_families
from classifiers.requests.reading import RequestData
from classifiers.requests.record import RequestRow

Numbers = Int64[np.ndarray, " _"]
"""Numbers of rows of a table, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTable:
    """Rows in a fixed order, with the split of each."""

    rows: Sequence[RequestRow]
    splits: Sequence[Split]

    @classmethod
    def of(cls, data: RequestData) -> RequestTable:
        """The rows of all splits."""
        found = [(row, split) for split in Split for row in data.by_split[split]]
        return cls(rows=[row for row, _ in found], splits=[split for _, split in found])

    def folds(self) -> list[LeftOut]:
        """What leave-one-dataset-out leaves out in turn."""
        return lodo_families(self.rows)

    def of_split(self, split: Split) -> Numbers:
        """Rows of a split."""
        return _numbers(i for i, found in enumerate(self.splits) if found is split)

    def training(self, without: LeftOut | None = None) -> Numbers:
        """Training rows whose licence lets them train.

        Args:
            without: a fold, of which no family is fitted on, nor any row elsewhere that shares a source prompt with
                a row that the fold measures.

        Raises:
            FitError: nothing is left.
        """
        measured = set() if without is None else {self.rows[i].group for i in self.measured(without).tolist()}
        chosen = _numbers(
            i
            for i, (row, split) in enumerate(zip(self.rows, self.splits, strict=True))
            if split is Split.TRAIN
            and row.trains
            and row.group not in measured
            and (without is None or without.fits(row))
        )
        if len(chosen) == 0:
            raise FitError(f"no rows are left to train on without {'any' if without is None else without.families}")
        return chosen

    def measured(self, fold: LeftOut) -> Numbers:
        """Rows that a fold measures, whatever their split."""
        return _numbers(i for i, row in enumerate(self.rows) if fold.measures(row))

    def of_sources(self, *sources: str) -> Numbers:
        """Rows of these sets."""
        return _numbers(i for i, row in enumerate(self.rows) if row.source in sources)

    def at(self, numbers: Numbers) -> list[RequestRow]:
        """The rows of these numbers."""
        return [self.rows[i] for i in numbers.tolist()]

    def sha256(self, numbers: Numbers) -> str:
        """A hash over texts and labels of rows, in order: what fits and fold scores name their data by."""
        return rows_sha256(self.at(numbers))


def rows_sha256(rows: Iterable[RequestRow]) -> str:
    """A hash over normalised texts, labels and families of rows, in order."""
    digest = hashlib.sha256()
    for row in rows:
        labels = ",".join(f"{name}={int(value)}" for name, value in sorted(row.labels.items()))
        digest.update(f"{normalised(row.text)}\t{int(row.harmful)}\t{labels}\t{row.family}\n".encode())
    return digest.hexdigest()


def _numbers(found: Iterable[int]) -> Numbers:
    return np.fromiter(found, dtype=np.int64)
