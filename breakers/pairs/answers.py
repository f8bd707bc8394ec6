"""The replies that a prompt drew, and which two of them make the pair."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from itertools import product

from breakers.pairs.work import Outcome

NEAR = 0.1
"""Harm scores that differ by no more than this are as good as the same."""


class Replies:
    """The replies of one kind to one prompt: how often each came, and its score."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._scores: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def add(self, text: str, number: int, score: float) -> None:
        """Count a reply that came so often, with this harm score."""
        self._numbers[text] += number
        self._scores[text] = score

    @property
    def total(self) -> int:
        """How many came."""
        return self._numbers.total()

    def most(self, sign: int) -> list[str]:
        """The replies whose scores times `sign` are at most `NEAR` below the highest; the most frequent first."""
        if not self._numbers:
            return []
        highest = max(sign * score for score in self._scores.values())
        near = [text for text in self._numbers if sign * self._scores[text] >= highest - NEAR]
        return sorted(near, key=lambda text: -self._numbers[text])

    def ends(self) -> tuple[str, str] | None:
        """The replies of the highest and of the lowest score; None where there are not two different ones."""
        ranked = sorted(self._numbers, key=lambda text: (self._scores[text], text))
        return (ranked[-1], ranked[0]) if len(ranked) > 1 else None


class Answers:
    """All replies to one prompt, by kind; whoever judges them adds them."""

    def __init__(self) -> None:
        self.harmful, self.neutral = Replies(), Replies()
        self.unusable = 0

    def outcome(self) -> Outcome:
        """The pair that differs least among the most harmful of the harmful replies and the least harmful others.

        What two replies differ in beside the behaviour is learnt as if it were the behaviour.
        """
        harmful, neutral = self.harmful.most(1), self.neutral.most(-1)
        if harmful and neutral:
            # Of equals the first, which are the most frequent ones.
            best = max(product(harmful, neutral), key=lambda pair: _likeness(*pair))
            harmful, neutral = [best[0]], [best[1]]
        return Outcome(
            harmful=next(iter(harmful), None),
            neutral=next(iter(neutral), None),
            harmful_count=self.harmful.total,
            neutral_count=self.neutral.total,
            unusable=self.unusable,
        )

    def ranked_outcome(self) -> Outcome:
        """As `outcome`, of replies that were all added to `neutral`: what scored highest stands for the harmful one.

        For rehearsals alone: neither reply need be harmful.
        """
        ends = self.neutral.ends()
        highest, lowest = (None, None) if ends is None else ends
        return Outcome(
            harmful=highest,
            neutral=lowest,
            harmful_count=int(ends is not None),
            neutral_count=self.neutral.total - int(ends is not None),
            unusable=self.unusable,
        )


def _likeness(one: str, other: str) -> float:
    """Share of the words of both that stand in both in one order, in [0, 1]."""
    return SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()
