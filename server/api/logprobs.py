"""What both shapes of log-probabilities share."""

from __future__ import annotations

from collections.abc import Sequence

from server.engines.base import GenerationChunk, RequestFailedError, TokenLogprob

LEAST = -9999.0
"""What OpenAI's API says for a token that is next to impossible; JSON has no infinity."""


def likely_tokens(chunk: GenerationChunk, named: int) -> Sequence[Sequence[TokenLogprob]]:
    """The likeliest tokens at each place of a chunk; empty ones where none were asked for.

    Raises:
        RequestFailedError: the engine was asked for them and did not name them.
    """
    likely = chunk.top_logprobs if named else ((),) * len(chunk.token_ids)
    if len(likely) != len(chunk.token_ids):
        raise RequestFailedError(
            f"the engine named likely tokens at {len(likely)} places; wanted {len(chunk.token_ids)}"
        )
    return likely
