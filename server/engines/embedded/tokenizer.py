"""The tokenizer as the server sees it: chat in, text out, and no control token that a user typed.

A chat is rendered by the model's own template. Where a message contains the text of a control token (`<|end|>`),
that text is encoded in pieces, so that it reaches the model as the characters it is. Everything else is encoded
exactly as the model was trained. Afterwards the control tokens are counted against the same chat with harmless
contents: more of them than the template brings, and the request is refused.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from server.engines.base import RequestRefusedError, TokenPiece
from server.engines.embedded.pieces import TokenPieces

ROLES = ("system", "developer", "user", "assistant", "tool")

_HARMLESS = "x"


class HuggingFaceTokenizer:
    """A `ChatTokenizer` over a transformers tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pieces = TokenPieces(tokenizer)
        controls = _control_tokens(tokenizer)
        self._control_ids = frozenset(controls)
        # Longest first: one control token's text may begin with another's.
        texts = sorted({text for text in controls.values() if text}, key=len, reverse=True)
        self._control_text = re.compile("|".join(map(re.escape, texts)) or r"(?!)")
        plain = self._encode_plain(_HARMLESS)
        self._prefix = tuple(tokenizer.encode(_HARMLESS, add_special_tokens=True))
        self._prefix = self._prefix[: _index_of(self._prefix, plain)]

    @property
    def has_chat_template(self) -> bool:
        """Whether `encode_chat` can work."""
        return bool(self._tokenizer.chat_template)

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, ready for the assistant's reply.

        Raises:
            RequestRefusedError: no chat template, an unknown role, a conversation that the template refuses, or
                text that would become control tokens.
        """
        if not self.has_chat_template:
            raise RequestRefusedError("this model has no chat template: it completes text, but cannot chat")
        for message in messages:
            if message["role"] not in ROLES:
                raise RequestRefusedError(f"role is {message['role']!r}; wanted one of {', '.join(ROLES)}")
        harmless = [m | {"content": _HARMLESS if m["content"].strip() else m["content"]} for m in messages]
        expected = self._controls(self._encode_plain(self._render(harmless)))
        token_ids = self._encode_rendered(messages)
        if self._controls(token_ids) != expected:
            raise RequestRefusedError("a message contains text that this model would read as control tokens")
        return token_ids

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, with what the tokenizer puts before a text; nothing in it is a control token.

        Raises:
            RequestRefusedError: text that the tokenizer can only read as control tokens.
        """
        token_ids = self._encode_pieces(self._split_controls(text))
        if self._controls(token_ids):
            raise RequestRefusedError("the text contains what this model would read as control tokens")
        return [*self._prefix, *token_ids]

    def encode_bare(self, text: str) -> list[int]:
        """Token ids of text that goes on with other text; nothing in it is guarded."""
        return self._encode_plain(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a reply, without control tokens."""
        return self.decode_list(list(token_ids))

    def decode_list(self, token_ids: list[int]) -> str:
        """As `decode`; the direct way for the engine's inner loop."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is not None:
            return str(backend.decode(token_ids, skip_special_tokens=True))
        text = self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def piece(self, token_id: int) -> TokenPiece:
        """What one token stands for."""
        return self._pieces.piece(token_id)

    def _encode_rendered(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Render with a mark in place of each control text that a message holds, and encode around the marks."""
        key = secrets.token_hex(8)
        found: list[str] = []
        marked = []
        for message in messages:
            content = ""
            for piece, is_control in self._split_controls(message["content"]):
                content += f"[{key}:{len(found)}]" if is_control else piece
                if is_control:
                    found.append(piece)
            marked.append(message | {"content": content})
        rendered = self._render(marked)
        pieces: list[tuple[str, bool]] = []
        for number, control in enumerate(found):
            before, mark, rendered = rendered.partition(f"[{key}:{number}]")
            if not mark:
                raise RequestRefusedError("the chat template changes a message that contains a control token's text")
            pieces += [(before, False), (control, True)]
        return self._encode_pieces([*pieces, (rendered, False)])

    def _render(self, messages: Sequence[dict[str, str]]) -> str:
        from jinja2.exceptions import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise RequestRefusedError(f"this model's chat template refuses the conversation: {error}") from error
        return str(text)

    def _split_controls(self, text: str) -> Iterator[tuple[str, bool]]:
        """Pieces of `text` in order, each with whether it is the text of a control token."""
        end = 0
        for match in self._control_text.finditer(text):
            yield text[end : match.start()], False
            yield match.group(), True
            end = match.end()
        yield text[end:], False

    def _encode_pieces(self, pieces: Iterable[tuple[str, bool]]) -> list[int]:
        token_ids: list[int] = []
        for text, is_control in pieces:
            # Cut after its first character, a control token's text is ordinary text on both sides of the cut.
            for part in (text[:1], text[1:]) if is_control else (text,):
                token_ids += self._encode_plain(part) if part else []
        return token_ids

    def _encode_plain(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _controls(self, token_ids: Sequence[int]) -> list[int]:
        return [token for token in token_ids if token in self._control_ids]


def _control_tokens(tokenizer: Any) -> dict[int, str]:
    """Tokens by id that no text may bring in: special ones, and added ones that are not just white space."""
    added = tokenizer.added_tokens_decoder
    controls = {int(i): str(token) for i, token in added.items() if token.special or str(token).strip()}
    unknown = tokenizer.unk_token_id
    for token_id, text in zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True):
        controls[int(token_id)] = str(text)
    # What stands for unknown text comes from any text; unless it is the end of a reply as well.
    if unknown not in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id):
        controls.pop(unknown, None)
    return controls


def _index_of(whole: Sequence[int], part: Sequence[int]) -> int:
    for start in range(len(whole) - len(part) + 1):
        if list(whole[start : start + len(part)]) == list(part):
            return start
    return 0
