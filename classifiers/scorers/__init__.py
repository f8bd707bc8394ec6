"""Harm scorers H(y) of replies, behind one factory.

`demo` is exact on the demo corpus and may be used for pairs, training and gate fitting there. `judge` works by
another method on separately written material; it only ever judges results. The others judge real text; none of them
shares code or word lists with `judge`.

A name may hold several members ("toxicity+bias"), and a member's name an argument ("misinformation:PATH").
"""

from __future__ import annotations

from breakers.scoring import HarmScorer
from classifiers.errors import UnknownMemberError

SCORERS = ("demo", "judge", "toxicity", "bias", "misinformation", "refusal", "compliance")
JOIN = "+"
ARGUMENT = ":"

__all__ = ["SCORERS", "HarmScorer", "build_scorer"]


def build_scorer(name: str) -> HarmScorer:
    """The scorer called `name`, imported only now.

    Args:
        name: one of `SCORERS`; `misinformation:PATH` with the file of its references, in which a leading variable
            of the environment may stand (`$SCALPEL_DATA/...`) and which `,otherwise=0` may follow; or several of
            them with + between.

    Raises:
        UnknownMemberError: no scorer has this name, or it wants an argument, or none.
        ArtifactError: a scorer's fitted files cannot be read or do not verify.
        SourceFormatError: the file of references cannot be read.
    """
    parts = name.split(JOIN)
    if len(parts) == 1:
        return _build_one(name)
    from classifiers.scorers.several import SeveralScorers

    return SeveralScorers([_build_one(part) for part in parts])


def _build_one(name: str) -> HarmScorer:
    member, separator, argument = name.partition(ARGUMENT)
    if member == "misinformation":
        from classifiers.scorers.misinformation import MisinformationScorer

        return MisinformationScorer.load(argument)
    if separator:
        raise UnknownMemberError(f"scorer {name!r}: {member} takes no argument; only misinformation does")
    if member == "demo":
        from classifiers.scorers.demo import DemoScorer

        return DemoScorer()
    if member == "judge":
        from classifiers.scorers.judge import JudgeScorer

        return JudgeScorer.load()
    return _build_fitted(member)


def _build_fitted(member: str) -> HarmScorer:
    """The members that need nothing but what ships with them."""
    if member == "toxicity":
        from classifiers.scorers.toxicity import ToxicityScorer

        return ToxicityScorer.load()
    if member == "bias":
        from classifiers.scorers.bias import BiasScorer

        return BiasScorer.load()
    if member == "refusal":
        from classifiers.scorers.refusal import RefusalScorer

        return RefusalScorer()
    if member == "compliance":
        from classifiers.scorers.compliance import ComplianceScorer

        return ComplianceScorer.load()
    raise UnknownMemberError(f"scorer {member!r} is not known; known: {', '.join(SCORERS)}")
