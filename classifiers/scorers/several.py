"""Several scorers as one: every behaviour of each, for a server that counts more than one kind of harm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from breakers.scoring import HarmScorer, ScoredReply
from classifiers.errors import UnknownMemberError


class SeveralScorers:
    """`HarmScorer` of all behaviours of its members; a member that fails fails it."""

    def __init__(self, members: Sequence[HarmScorer]) -> None:
        """Put members side by side.

        Raises:
            UnknownMemberError: there are none, or two judge the same behaviour.
        """
        counts = Counter(behaviour for member in members for behaviour in member.behaviours)
        doubled = [behaviour for behaviour, count in counts.items() if count > 1]
        if doubled or not members:
            raise UnknownMemberError(
                f"{len(members)} scorers, {', '.join(doubled) or 'none'} judged twice; wanted each behaviour once"
            )
        self._members = tuple(members)

    @property
    def name(self) -> str:
        return "+".join(member.name for member in self._members)

    @property
    def behaviours(self) -> tuple[str, ...]:
        return tuple(behaviour for member in self._members for behaviour in member.behaviours)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        """See `HarmScorer.score`."""
        scored: list[dict[str, float]] = [{} for _ in replies]
        for member in self._members:
            for together, own in zip(scored, member.score(replies), strict=True):
                together.update(own)
        return scored
