"""Log-probabilities in the shape of OpenAI's older completions API."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from server.api.completions.answers import CompletionLogprobs
from server.api.logprobs import LEAST, likely_tokens
from server.engines.base import GenerationChunk, RequestFailedError, ScoredToken, TokenLogprob, TokenPiece

Piece = Callable[[int], TokenPiece]


@dataclass(slots=True)
class _Lists:
    """The four lists while they grow."""

    named: bool
    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)

    def add(self, text: str, logprob: float | None, top: dict[str, float] | None, offset: int) -> None:
        self.tokens.append(text)
        self.token_logprobs.append(logprob)
        self.top_logprobs.append(top)
        self.text_offset.append(offset)

    def done(self) -> CompletionLogprobs:
        return CompletionLogprobs(
            tokens=self.tokens,
            token_logprobs=self.token_logprobs,
            top_logprobs=self.top_logprobs if self.named else None,
            text_offset=self.text_offset,
        )


class ReplyLogprobs:
    """Log-probabilities of one reply, and of its prompt where that is echoed, in the order of the text."""

    def __init__(self, piece: Piece, named: int) -> None:
        """`named` is how many likely tokens were asked for at each place."""
        self._piece = piece
        self._named = named
        self._places = _Places(piece, start=0)

    def prompt(self, token_ids: Sequence[int], scores: Sequence[ScoredToken], text: str) -> CompletionLogprobs:
        """Of a prompt that is echoed as `text`; comes before any `chunks`.

        Raises:
            RequestFailedError: the engine did not score every token but the first.
        """
        if len(scores) != len(token_ids) - 1:
            raise RequestFailedError(
                f"the engine scored {len(scores)} tokens of the prompt; wanted {len(token_ids) - 1}"
            )
        offsets = self._prompt_offsets(token_ids, text)
        self._places = _Places(self._piece, start=len(text))
        lists = _Lists(named=self._named > 0)
        lists.add(self._name(token_ids[0]), None, None, offsets[0])
        for score, offset in zip(scores, offsets[1:], strict=True):
            scored = TokenLogprob(score.token_id, score.logprob)
            lists.add(*self._entry(scored, score.top), offset)
        return lists.done()

    def chunks(self, chunks: Iterable[GenerationChunk]) -> CompletionLogprobs:
        """Of the next chunks.

        Raises:
            RequestFailedError: the engine was asked for the likely tokens and did not name them.
        """
        lists = _Lists(named=self._named > 0)
        for chunk in chunks:
            likely = likely_tokens(chunk, self._named)
            for token_id, logprob, top in zip(chunk.token_ids, chunk.logprobs, likely, strict=True):
                lists.add(*self._entry(TokenLogprob(token_id, logprob), top), self._places.next(token_id))
        return lists.done()

    def _entry(self, scored: TokenLogprob, top: Sequence[TokenLogprob]) -> tuple[str, float, dict[str, float] | None]:
        name, logprob = self._name(scored.token_id), max(scored.logprob, LEAST)
        if not self._named:
            return name, logprob, None
        likely: dict[str, float] = {}
        for other in (*top, scored):
            likely.setdefault(self._name(other.token_id), max(other.logprob, LEAST))
        return name, logprob, likely

    def _name(self, token_id: int) -> str:
        """A token's text; one that is no whole character as OpenAI's API wrote it: `bytes:\\xe2\\x80`."""
        found = self._piece(token_id)
        if found.data is None:
            return found.text
        try:
            return found.data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in found.data)

    def _prompt_offsets(self, token_ids: Sequence[int], text: str) -> list[int]:
        """Some tokenizers strip a space that the first token stands for: the other tokens then begin earlier."""
        places = _Places(self._piece, start=0)
        offsets = [places.next(token_id) for token_id in token_ids]
        stripped = places.end - len(text)
        return [min(max(0, offset - stripped), len(text)) for offset in offsets]


class _Places:
    """Where tokens begin in a text, in characters. A token within a character begins where that one does."""

    def __init__(self, piece: Piece, *, start: int) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.end = start
        """Whole characters so far."""

    def next(self, token_id: int) -> int:
        """Where the next token begins."""
        begin = self.end
        self.end += len(self._decoder.decode(self._piece(token_id).data or b""))
        return begin
