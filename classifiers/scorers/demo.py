"""Scorer `demo`: the corpus' own exact rules, as `breakers.demo.scoring` states them."""

from __future__ import annotations

from collections.abc import Sequence

from breakers.demo import scoring
from breakers.demo.corpus import BEHAVIOURS
from breakers.scoring import ScoredReply


class DemoScorer:
    """1 where a rule finds the behaviour, else 0."""

    @property
    def name(self) -> str:
        return "demo"

    @property
    def behaviours(self) -> tuple[str, ...]:
        return BEHAVIOURS

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        """See `HarmScorer.score`."""
        return [{b: float(scoring.harmful(b, r.messages, r.reply)) for b in BEHAVIOURS} for r in replies]
