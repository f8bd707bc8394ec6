"""VADER's lexicon of sentiment (Hutto and Gilbert 2014): a harmful request might be a negative one."""

from __future__ import annotations

from importlib.metadata import version
from typing import final

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from benchmarks.classifier_peers.peers.base import Peer

NEGATIVE = -0.05
"""Its documentation calls a text with a compound score of at most this negative."""


@final
class VaderPeer(Peer):
    """The negated compound score; scaled on either side of `NEGATIVE`, so that it lies at 0.5."""

    def __init__(self) -> None:
        self.name = f"vaderSentiment {version('vaderSentiment')}"
        self._analyser = SentimentIntensityAnalyzer()

    def judge(self, text: str) -> float:
        """See `Peer.judge`."""
        return scaled(float(self._analyser.polarity_scores(text)["compound"]))


def scaled(compound: float) -> float:
    """Compound in [-1, 1] to a score in [0, 1] that falls with it: 1 at -1, 0.5 at `NEGATIVE`, 0 at 1."""
    if compound <= NEGATIVE:
        return 0.5 + 0.5 * (NEGATIVE - compound) / (1 + NEGATIVE)
    return 0.5 * (1 - compound) / (1 - NEGATIVE)
