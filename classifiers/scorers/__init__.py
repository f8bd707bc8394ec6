"""Harm scorers H(y) of replies, behind one factory.

`demo` is exact on the demo corpus and may be used for pairs, training and gate fitting. `judge` works by another
method on separately written material; it only ever judges results.
"""

from __future__ import annotations

from breakers.scoring import HarmScorer
from classifiers.errors import UnknownMemberError

SCORERS = ("demo", "judge")

__all__ = ["SCORERS", "HarmScorer", "build_scorer"]


def build_scorer(name: str) -> HarmScorer:
    """The scorer called `name`, imported only now.

    Raises:
        UnknownMemberError: no scorer has this name.
        ArtifactError: the judge's fitted files cannot be read or do not verify.
    """
    if name == "demo":
        from classifiers.scorers.demo import DemoScorer

        return DemoScorer()
    if name == "judge":
        from classifiers.scorers.judge import JudgeScorer

        return JudgeScorer.load()
    raise UnknownMemberError(f"scorer {name!r} is not known; known: {', '.join(SCORERS)}")
