"""Token ids to text for replies with a grammar: the very bytes that the grammar has seen.

A tokenizer's decoder may join tokens in its own way (spaces before punctuation); then what is shown would not be what
was matched.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from server.engines.embedded.grammar.matcher import GrammarMatcher


class GrammarDetokenizer:
    """Joins bytes; hands out whole characters only."""

    def __init__(self, grammar: GrammarMatcher, decode: Callable[[list[int]], str]) -> None:
        """`decode` is the tokenizer's own, which says how a free text begins."""
        self._pieces = grammar.pieces
        self._decode = decode
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._may_drop_space = grammar.free_text

    def push(self, token_id: int) -> str:
        """Text that this token completes."""
        data = self._pieces[token_id]
        if self._may_drop_space:
            # Some decoders drop the space before the first word of a text.
            self._may_drop_space = False
            if data[:1] == b" " and self._decode([token_id]).encode() == data[1:]:
                data = data[1:]
        return self._decoder.decode(data)

    def flush(self) -> str:
        """Nothing: what is left is half a character."""
        return ""
