"""What a recipe of a member is to the folds and to the shipped fit: the same one function from rows to scores."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from classifiers.assessment.scored import HARM
from classifiers.fitting.requests.table import Numbers
from classifiers.requests.record import REQUEST_CATEGORIES

CATEGORIES = (HARM, *REQUEST_CATEGORIES)
"""What every general member scores: whether complying is harmful at all, and in which way."""

Logits = Float64[np.ndarray, "row category"]
"""Uncalibrated log-odds, in the order of `CATEGORIES`."""


@runtime_checkable
class Recipe(Protocol):
    """How one member is fitted on rows of one table."""

    @property
    def name(self) -> str:
        """`lexical` or `embedding`."""
        ...

    @property
    def digest(self) -> str:
        """A hash of all settings: recipes that fit differently differ in it."""
        ...

    def scores(self, train: Numbers, unseen: Numbers) -> Logits:
        """Fit on the rows `train` alone, and score the rows `unseen`, as what ships would.

        Raises:
            FitError: the rows do not suffice.
        """
        ...
