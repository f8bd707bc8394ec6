"""JailbreakBench's goals as questions about the past and the future (`past_tense_en.txt`, `future_tense_en.txt`).

The files do not say which goal a line rewrites; it is put in the group of the goal that shares its rarest words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from classifiers.fitting.near_duplicates import words_of
from classifiers.fitting.readers.files import read_table, read_text
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_FILES = ("past_tense_en.txt", "future_tense_en.txt")
_STEM = 5
"""Letters of a word that are compared: "bypassed" and "bypass" are one."""


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The rewrites: attempts to get by a refusal."""
    goals = [row["Goal"] for row in read_table(root / "advbench" / "jailbreakbench.csv", ("Goal",))]
    nearest = NearestGoal(goals)
    for name in _FILES:
        for line in read_text(root / "jailbreak-prompts" / name).splitlines():
            yield known.harmful(line, "jailbreak", denied=(), group=nearest.of(line))


class NearestGoal:
    """Which goal a text rewrites, by the words that both have; rare words count for more."""

    def __init__(self, goals: Sequence[str]) -> None:
        self._goals = [(goal, _stems(goal)) for goal in goals]
        counts = Counter(stem for _, stems in self._goals for stem in stems)
        self._weights = {stem: math.log(len(goals) / count) for stem, count in counts.items()}

    def of(self, text: str) -> str:
        """The goal, or the text itself where no goal shares a rare word with it."""
        stems = _stems(text)
        score, goal = max(
            ((sum(self._weights[stem] for stem in stems & found), goal) for goal, found in self._goals),
            default=(0.0, text),
        )
        return goal if score > 0 else text


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in words_of(text)}
