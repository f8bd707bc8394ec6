"""Log-probabilities in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.api.chat.answers import ChoiceLogprobs, TokenLogprobs, TopLogprob
from server.api.logprobs import LEAST, likely_tokens
from server.engines.base import GenerationChunk, TokenLogprob, TokenPiece


def choice_logprobs(
    chunks: Sequence[GenerationChunk], piece: Callable[[int], TokenPiece], named: int
) -> ChoiceLogprobs:
    """Every token of these chunks.

    Args:
        chunks: of one reply.
        piece: what a token stands for.
        named: how many likely tokens were asked for at each place.

    Raises:
        RequestFailedError: the engine was asked for the likely tokens and did not name them.
    """
    content: list[TokenLogprobs] = []
    for chunk in chunks:
        likely = likely_tokens(chunk, named)
        for token_id, logprob, top in zip(chunk.token_ids, chunk.logprobs, likely, strict=True):
            token = _top(TokenLogprob(token_id, logprob), piece)
            content.append(
                TokenLogprobs(
                    token=token.token,
                    logprob=token.logprob,
                    bytes=token.bytes,
                    top_logprobs=[_top(other, piece) for other in top],
                )
            )
    return ChoiceLogprobs(content=content)


def _top(scored: TokenLogprob, piece: Callable[[int], TokenPiece]) -> TopLogprob:
    found = piece(scored.token_id)
    return TopLogprob(
        token=found.text,
        logprob=max(scored.logprob, LEAST),
        bytes=None if found.data is None else list(found.data),
    )
