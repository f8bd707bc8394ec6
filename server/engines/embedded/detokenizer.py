"""Token ids to text as they come: only whole characters, in time linear in the length of the reply."""

from __future__ import annotations

from collections.abc import Callable

REPLACEMENT = "\ufffd"

MAX_HELD_TOKENS = 12
"""A character is at most 4 bytes, so a longer run of undecodable tokens is not the beginning of one."""

TOKENS_PER_CHARACTER = 4


class IncrementalDetokenizer:
    """Decodes a short window that slides along the reply.

    The window starts one shown piece before the new tokens, because tokenizers treat the first token of a text
    differently (leading spaces). Text that ends in a replacement character is held back: the next token may
    complete it.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._shown = 0
        """Tokens at the start of the window whose text has been handed out."""

    def push(self, token_id: int) -> str:
        """Text that this token makes certain; often one piece, sometimes nothing."""
        self._window.append(token_id)
        text = self._new_text(len(self._window))
        if text and not text.endswith(REPLACEMENT):
            return self._show(len(self._window), text)
        if len(self._window) - self._shown <= MAX_HELD_TOKENS:
            return ""
        # Not text at all: let go of what cannot become a character any more, so that the window stays short.
        end = len(self._window) - TOKENS_PER_CHARACTER + 1
        return self._show(end, self._new_text(end))

    def flush(self) -> str:
        """What is left at the end of the reply, without the half character that it may end in."""
        text = self._new_text(len(self._window)).rstrip(REPLACEMENT)
        self._shown = len(self._window)
        return text

    def _new_text(self, end: int) -> str:
        before = self._decode(self._window[: self._shown]) if self._shown else ""
        return self._decode(self._window[:end])[len(before) :]

    def _show(self, end: int, text: str) -> str:
        self._window = self._window[self._shown :]
        self._shown = end - self._shown
        return text
