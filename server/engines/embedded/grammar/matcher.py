"""One reply's place in its grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llguidance import LLMatcher

from server.engines.base import GrammarDeadEndError

SHOWN = 300
"""Characters of the compiler's message that ours repeats."""

_PLACE = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?")
_LISTING = "\n   1 | "
"""Where and in what the compiler found it: lines of our own making, which the caller has not seen."""


class GrammarMatcher:
    """Says what may come next, and takes what came. Belongs to the engine's thread."""

    def __init__(
        self, matcher: LLMatcher, pieces: Sequence[bytes], end_ids: frozenset[int], *, free_text: bool
    ) -> None:
        """
        Args:
            matcher: at the beginning; nobody else's.
            pieces: bytes by token id.
            end_ids: tokens that end a reply.
            free_text: whether the reply may be plain text.
        """
        self._matcher = matcher
        self._end_ids = end_ids
        self._others = ~sum(1 << token_id for token_id in end_ids)
        self.pieces = pieces
        self.free_text = free_text

    def allowed(self) -> bytes:
        """One bit a token, the lowest bit of the first byte being token 0; at least one is set.

        Where only one text can follow, its next token is the one with which the tokenizer writes that text.

        Raises:
            GrammarDeadEndError: no token of the vocabulary can come next, or finding out takes too much.
        """
        bits = self._matcher.compute_bitmask()
        # In an error state it would allow the end.
        if self._matcher.is_error():
            raise GrammarDeadEndError(f"the reply cannot go on in its grammar: {problem(self._matcher)}")
        if not any(bits):
            raise GrammarDeadEndError("the reply cannot go on in its grammar: this model has no token that fits")
        return bits

    def only_end(self, bits: bytes) -> bool:
        """Whether `bits` are of end tokens alone."""
        return not int.from_bytes(bits, "little") & self._others

    def accept(self, token_id: int) -> None:
        """Go on by a token.

        Raises:
            GrammarDeadEndError: it was not allowed.
        """
        if token_id in self._end_ids:
            taken = self._matcher.is_accepting() and not self._matcher.is_error()
        else:
            taken = self._matcher.consume_token(token_id)
        if not taken:
            raise GrammarDeadEndError(f"token {token_id} is not in the reply's grammar: {problem(self._matcher)}")


def problem(matcher: LLMatcher) -> str:
    """What went wrong, on one line; it may quote the schema."""
    if "coerce_one_of" in matcher.get_error():
        # It would advise an option that the caller does not have.
        return (
            "oneOf: more than one may hold; wanted schemas that exclude each other by type or constant text, or anyOf"
        )
    said, _, _ = matcher.get_error().replace("<non-verbose/>", "").partition(_LISTING)
    message = " ".join(_PLACE.sub("", said).split())
    return message if len(message) <= SHOWN else f"{message[:SHOWN]}..."
