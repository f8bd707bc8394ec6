"""The rule that picks a variant and its strength from harm potentials; a pure function, fitted elsewhere.

The harm potentials of one category are divided into segments, each with one variant, and every variant has one gate.
So the strength is 0 below p_off, never above the variant's full strength, and among harm potentials that get the same
variant never falls, wherever its segments lie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from breakers.gate import Gate
from classifiers.errors import ChoiceError, ClassifierError


class Pick(NamedTuple):
    """What a request gets."""

    bundle: str
    strength: float
    """A multiple of 1/16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A bundle of the behaviour, with the gate that it has in the choice."""

    bundle: str
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Harm potentials from `start` to the next segment's, and what acts there."""

    start: float
    """In [0, 1]; the first segment's is 0."""
    bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which variant acts at which harm potential of one category."""

    category: str
    variants: tuple[Variant, ...]
    segments: tuple[Segment, ...]
    """In order; one for a choice that always picks the same variant."""

    def __post_init__(self) -> None:
        names = [variant.bundle for variant in self.variants]
        if not names or len(set(names)) != len(names):
            raise ChoiceError(f"the variants are {', '.join(names) or 'none'}; wanted some, each once")
        if len({variant.gate.p_off for variant in self.variants}) > 1:
            raise ChoiceError("the variants' gates have different p_off; wanted one for all, set on the same prompts")
        starts = [segment.start for segment in self.segments]
        ordered = all(low < high for low, high in pairwise(starts))
        if not starts or starts[0] != 0.0 or not ordered or not starts[-1] <= 1.0:
            raise ChoiceError(f"segments start at {starts}; wanted 0, and then rising numbers of at most 1")
        unknown = sorted({segment.bundle for segment in self.segments} - set(names))
        if unknown:
            raise ChoiceError(f"segments name {', '.join(unknown)}; the variants are {', '.join(names)}")

    def pick(self, category_scores: Mapping[str, float]) -> Pick:
        """The variant for a request, and its strength.

        Args:
            category_scores: harm potential by category, as a classifier gives them.

        Raises:
            ClassifierError: the category is missing, or its score no number in [0, 1]; callers then use `failsafe`.
        """
        potential = category_scores.get(self.category)
        if potential is None:
            known = ", ".join(category_scores)
            raise ClassifierError(f"no harm potential of {self.category!r}; there is {known or 'none'}")
        if not (math.isfinite(potential) and 0.0 <= potential <= 1.0):
            raise ClassifierError(f"harm potential of {self.category!r} is {potential}; wanted a number in [0, 1]")
        bundle = next(s.bundle for s in reversed(self.segments) if s.start <= potential)
        return Pick(bundle, self.gate_of(bundle).strength(potential))

    def gate_of(self, bundle: str) -> Gate:
        """The gate of one variant."""
        return next(variant.gate for variant in self.variants if variant.bundle == bundle)

    @property
    def failsafe(self) -> Pick:
        """What a failing classifier means: the variant for the highest harm potential, at full strength."""
        bundle = self.segments[-1].bundle
        return Pick(bundle, self.gate_of(bundle).full_strength)
