"""Fold scores on disk, so that a long measurement that is stopped goes on where it was.

A file is named by a hash of everything that decides its contents: the recipe, and the rows that trained and that are
scored. A file that another recipe wrote is therefore never read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.errors import FitError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFolder:
    """Where fold scores are kept; without a path nothing is."""

    path: Path | None = None

    def scores(
        self, what: Mapping[str, str], make: Callable[[], Float64[np.ndarray, "row category"]]
    ) -> Float64[np.ndarray, "row category"]:
        """The stored scores of `what`, or those that `make` returns, then stored.

        Raises:
            FitError: a stored file cannot be read.
        """
        if self.path is None:
            return make()
        named = hashlib.sha256(json.dumps(dict(sorted(what.items()))).encode()).hexdigest()
        file = self.path / f"{named[:24]}.npy"
        if file.exists():
            try:
                found: Float64[np.ndarray, "row category"] = np.load(file, allow_pickle=False)
            except (OSError, ValueError) as error:
                raise FitError(f"{file.name} of the work folder cannot be read ({error}); remove it") from error
            return found
        scores = make()
        self.path.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: a process that is stopped while it writes leaves no half file under the name.
        partial = file.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as stream:
            np.save(stream, scores, allow_pickle=False)
        partial.replace(file)
        return scores
