"""The replies that a prompt drew, and which of each kind makes the pair."""

from __future__ import annotations

from collections import Counter

from breakers.pairs.work import Outcome


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

    def most(self, sign: int) -> str | None:
        """The reply of the highest score times `sign`; of equals the most frequent, then the first."""
        return max(self._numbers, key=lambda text: (sign * self._scores[text], self._numbers[text]), default=None)

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
        """The most harmful of the harmful replies, and the least harmful of the others."""
        return Outcome(
            harmful=self.harmful.most(1),
            neutral=self.neutral.most(-1),
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
