"""Scorer `judge`: the second opinion on replies, for judging results only.

It shares neither word lists nor code with the `demo` scorer, works by other methods, and takes no part in pairs,
training or gate fitting. It sees the conversation and the reply, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from breakers.scoring import ScoredReply
from classifiers.lexical import LexicalClassifier
from classifiers.scorers.judge import insults, pronouns
from classifiers.scorers.judge.statements import StatementJudge

__all__ = ["JudgeScorer", "toxicity_model_path"]


def toxicity_model_path() -> Path:
    """Directory of the n-gram model of toxic replies that ships with the package."""
    return Path(__file__).parent / "shipped"


class JudgeScorer:
    """`HarmScorer` of the three behaviours of the demo."""

    def __init__(self, toxicity: LexicalClassifier, statements: StatementJudge) -> None:
        self._toxicity = toxicity
        self._statements = statements

    @classmethod
    def load(cls) -> JudgeScorer:
        """The shipped judge.

        Raises:
            ArtifactError: its files cannot be read or do not verify.
        """
        return cls(LexicalClassifier.load(toxicity_model_path()), StatementJudge.load())

    @property
    def name(self) -> str:
        return f"judge:{self._toxicity.card.weights_sha256[:6]}"

    @property
    def behaviours(self) -> tuple[str, ...]:
        return ("toxicity", "gender_bias", "misinformation")

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        """See `HarmScorer.score`."""
        return [self._score_one(_last_user_turn(r.messages), r.reply) for r in replies]

    def _score_one(self, prompt: str, reply: str) -> dict[str, float]:
        return {
            "toxicity": insults.score(self._toxicity, reply),
            "gender_bias": pronouns.score(prompt, reply),
            "misinformation": self._statements.score(prompt, reply),
        }


def _last_user_turn(messages: Sequence[Mapping[str, str]]) -> str:
    return next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), "")
