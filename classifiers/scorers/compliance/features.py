"""What tells that a reply does what a harmful request asks: a few numbers of the request and of the reply."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from classifiers.lexical import LexicalClassifier
from classifiers.scorers.refusal import refusal_score

CATEGORY = "harmful_request"
ODDS_LIMIT = 6.0
"""Log-odds of the n-gram models beyond which more changes nothing."""
LONGEST_LINES = 64
"""Sentences of a request that are read one by one; the last of a longer one, where the question stands."""
_WORD = re.compile(r"[a-z]{4,}")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+")
_FEWEST_WORDS = 4
_AGREES = re.compile(
    r"^\W*(?:\w+: )?(?:sure|certainly|of course|absolutely|here(?:'s| is| are)|okay|ok|yes|title|step)\b"
)
_LIST = re.compile(r"(?:^|\n)\s*(?:\d+[.)]|[-*•]|step \d|#+ |\*\*)", re.IGNORECASE)
_QUESTION = re.compile(r"\?\s*$")
_LONG = 400
"""Words beyond which a longer reply says nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModels:
    """N-gram models with the category `harmful_request`."""

    request: LexicalClassifier
    """Of a request: is it harmful to fulfil."""
    reply: LexicalClassifier
    """Of a reply by itself: does it read like the fulfilment of a harmful request."""


def compare(models: TextModels, prompt: str, reply: str) -> dict[str, float]:
    """The features of a reply to the last user turn `prompt`; all finite."""
    words = reply.split()
    asked, said = set(_WORD.findall(prompt.lower())), set(_WORD.findall(reply.lower()))
    # An attack hides its request in much other text: the most harmful sentence counts.
    request = max(odds(models.request, text) for text in _sentences(prompt))
    answer = odds(models.reply, reply)
    return {
        "request": request,
        "reply": answer,
        "both": min(request, answer),
        "refuses": refusal_score(reply),
        "agrees": float(_AGREES.search(reply.lower()) is not None),
        "lists": math.log1p(len(_LIST.findall(reply))),
        "length": math.log1p(min(len(words), _LONG)),
        "asks": float(_QUESTION.search(reply) is not None),
        "on_request": len(asked & said) / max(len(said), 1),
        "empty": float(not words),
    }


def odds(model: LexicalClassifier, text: str) -> float:
    """Calibrated log-odds that a text is harmful, bounded."""
    column = model.categories.index(CATEGORY)
    slope, intercept = model.tensors.calibration_slope[column], model.tensors.calibration_intercept[column]
    found = float(slope * model.logits(text)[column] + intercept)
    return max(-ODDS_LIMIT, min(ODDS_LIMIT, found))


def _sentences(prompt: str) -> list[str]:
    parts = [part for part in _SENTENCE.split(prompt) if len(part.split()) >= _FEWEST_WORDS]
    return [prompt, *parts[-LONGEST_LINES:]]
