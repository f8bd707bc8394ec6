"""`better-profanity`: a list of words and their spellings with other characters; it says yes or no."""

from __future__ import annotations

from importlib.metadata import version
from typing import final

from better_profanity import Profanity

from benchmarks.classifier_peers.peers.base import Peer


@final
class ProfanityPeer(Peer):
    """1 where a text contains a word of its list, else 0."""

    def __init__(self) -> None:
        self.name = f"better-profanity {version('better-profanity')}"
        self._profanity = Profanity()

    def judge(self, text: str) -> float:
        """See `Peer.judge`."""
        return float(self._profanity.contains_profanity(text))
