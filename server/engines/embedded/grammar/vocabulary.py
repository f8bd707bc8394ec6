"""The model's vocabulary as llguidance reads it: the bytes that each token adds to a reply."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from llguidance import LLTokenizer, TokenizerWrapper

from server.engines.embedded.tokenizer import HuggingFaceTokenizer


class Vocabulary:
    """Made from single tokens, so that it serves any tokenizer: whatever its kind, a token's bytes are known.

    The properties take a while for a large vocabulary, the first time.
    """

    def __init__(self, tokenizer: HuggingFaceTokenizer, *, size: int, end_ids: Collection[int]) -> None:
        """
        Args:
            tokenizer: knows the tokens.
            size: columns of the logits; ids that the tokenizer does not have are never allowed.
            end_ids: tokens that end a reply.
        """
        self._tokenizer = tokenizer
        self._size = size
        self.end_ids = frozenset(end_ids)

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """By token id; empty for what adds nothing."""
        return tuple(self._tokenizer.piece(token_id).data or b"" for token_id in range(self._size))

    @cached_property
    def compiled(self) -> LLTokenizer:
        """For llguidance."""
        source = _Source(self.pieces, min(self.end_ids), self._tokenizer)
        return LLTokenizer(TokenizerWrapper(source), n_vocab=self._size, eos_token=sorted(self.end_ids))


class _Source:
    """What llguidance asks of a tokenizer."""

    bos_token_id = None

    def __init__(self, pieces: tuple[bytes, ...], eos_token_id: int, tokenizer: HuggingFaceTokenizer) -> None:
        self.eos_token_id = eos_token_id
        self.special_token_ids = [token_id for token_id, piece in enumerate(pieces) if not piece]
        # Tokens without bytes still need a name each; no text can produce these.
        self.tokens = [piece or f"<|{token_id}|>".encode() for token_id, piece in enumerate(pieces)]
        self._pieces = pieces
        self._tokenizer = tokenizer
        # Of two tokens with the same bytes the later one: the other is for bytes that no token has.
        self._by_piece = {piece: token_id for token_id, piece in enumerate(pieces) if piece}
        self._longest = max(map(len, pieces))

    def __call__(self, text: bytes) -> list[int]:
        """How the model would write a text that is certain to come: as it learned to, where that adds no byte."""
        if not isinstance(text, bytes):
            raise TypeError(f"found {type(text).__name__}; wanted bytes")
        try:
            learned = self._tokenizer.encode_bare(text.decode())
        except UnicodeDecodeError:
            return self._greedy(text)
        known = all(token_id < len(self._pieces) for token_id in learned)
        if known and b"".join(self._pieces[token_id] for token_id in learned) == text:
            return learned
        return self._greedy(text)

    def _greedy(self, text: bytes) -> list[int]:
        """Longest tokens first, as far as there are tokens."""
        found: list[int] = []
        start = 0
        while start < len(text):
            ends = range(min(len(text), start + self._longest), start, -1)
            end = next((end for end in ends if text[start:end] in self._by_piece), None)
            if end is None:
                break
            found.append(self._by_piece[text[start:end]])
            start = end
        return found
