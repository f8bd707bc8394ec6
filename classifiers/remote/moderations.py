"""Questions and answers of a moderations route."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from classifiers.errors import RemoteError
from classifiers.remote.config import ModerationsConfig


def question(texts: Sequence[str], config: ModerationsConfig) -> dict[str, object]:
    """The body that asks about all of `texts`."""
    return {"input": list(texts)} | ({} if config.model is None else {"model": config.model})


def verdicts(answer: object, count: int, config: ModerationsConfig) -> list[dict[str, float]]:
    """Scores by our categories, a text each.

    Raises:
        RemoteError: the answer has another shape, or a score is missing or no probability.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list) or len(results) != count:
        found = len(results) if isinstance(results, list) else type(results).__name__
        raise RemoteError(f"{config.url}: results are {found}; wanted a list of {count}")
    return [_verdict(result, config) for result in results]


def _verdict(result: object, config: ModerationsConfig) -> dict[str, float]:
    scores = result.get("category_scores") if isinstance(result, Mapping) else None
    if not isinstance(scores, Mapping):
        raise RemoteError(f"{config.url}: a result has no category_scores")
    verdict: dict[str, float] = {}
    for theirs, ours in config.categories_map.items():
        score = scores.get(theirs)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1 or math.isnan(score):
            raise RemoteError(f"{config.url}: the score of {theirs!r} is {score!r}; wanted a number in [0, 1]")
        verdict[ours] = max(verdict.get(ours, 0.0), float(score))
    return verdict
