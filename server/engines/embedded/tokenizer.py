"""The tokenizer as the server sees it: chat in, text out, and no control token that a user typed.

A chat is rendered by the model's own template. Where a message contains the text of a control token (`<|end|>`),
that text is encoded in pieces, so that it reaches the model as the characters it is. Everything else is encoded
exactly as the model was trained. Afterwards the control tokens are counted against the same chat with harmless
contents: more of them than the template brings, and the request is refused.

Tools and calls are given to templates that render them; for others the conversation is written as plain turns first.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from server.engines.base import RequestRefusedError, TokenPiece
from server.engines.embedded.pieces import TokenPieces
from server.engines.tool_text import Tool, Turn, call_text, has_tools, plain_turns

ROLES = ("system", "developer", "user", "assistant", "tool")

_HARMLESS = "x"
_PLAIN = {"role", "content"}

KEPT_TURNS = 64
KEPT_SHAPES = 256
"""Shapes of chats, and turns of each, whose control tokens are remembered."""

_PROBE_NAME, _PROBE_RESULT = "probename", "proberesult"
_PROBE_TOOLS = (
    {"type": "function", "function": {"name": _PROBE_NAME, "description": "", "parameters": {"type": "object"}}},
)
_PROBE_CALL = {
    "id": "callprobe",
    "type": "function",
    "function": {"name": "probecall", "arguments": {"a": "probevalue"}},
}
_PROBE = (
    {"role": "user", "content": _HARMLESS},
    {"role": "assistant", "content": "", "tool_calls": (_PROBE_CALL,)},
    {"role": "tool", "tool_call_id": "callprobe", "name": "probecall", "content": _PROBE_RESULT},
)
"""What a template that knows tools says all of."""


class HuggingFaceTokenizer:
    """A `ChatTokenizer` over a transformers tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._encode_directly = _direct_encoder(tokenizer)
        self._expected: dict[tuple[tuple[str, str], ...], list[int]] = {}
        """Control tokens that the template brings to a chat without tools, by roles and harmless contents."""
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

    @cached_property
    def renders_tools(self) -> bool:
        """Whether the chat template shows tools and results, and calls in the form that replies have; found out by
        trying. What a model was taught in another form it would write in that form."""
        try:
            rendered = self._render(_PROBE, _PROBE_TOOLS)
        except Exception:  # noqa: BLE001 - whatever a template makes of what it does not know: it does not know it
            return False
        return all(part in rendered for part in (_PROBE_NAME, call_text(_PROBE_CALL), _PROBE_RESULT))

    def encode_chat(self, messages: Sequence[Turn], tools: Sequence[Tool] = ()) -> list[int]:
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
        if has_tools(messages, tools) and not self.renders_tools:
            messages, tools = plain_turns(messages, tools), ()
        token_ids = self._encode_rendered(messages, tools)
        if self._controls(token_ids) != self._expected_controls(messages, tools):
            raise RequestRefusedError("a message contains text that this model would read as control tokens")
        return token_ids

    def _expected_controls(self, messages: Sequence[Turn], tools: Sequence[Tool]) -> list[int]:
        """The control tokens of the same chat with harmless contents; chats of one shape have the same ones."""
        shape = tuple((str(m["role"]), self._harmless_content(m)) for m in messages)
        plain = not tools and all(m.keys() == _PLAIN for m in messages)
        if plain and shape in self._expected:
            return self._expected[shape]
        harmless = [_changed_turn(m, text, self._harmless) for m, (_, text) in zip(messages, shape, strict=True)]
        expected = self._controls(self._encode_plain(self._render(harmless, _changed(tools, self._harmless))))
        if plain and len(shape) <= KEPT_TURNS and all(len(text) <= 1 for _, text in shape):
            if len(self._expected) >= KEPT_SHAPES:
                self._expected.clear()
            self._expected[shape] = expected
        return expected

    def _harmless_content(self, message: Turn) -> str:
        content = str(message["content"])
        return _HARMLESS if content.strip() else content

    def _harmless(self, text: str) -> str:
        return self._control_text.sub(_HARMLESS, text)

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

    def _encode_rendered(self, messages: Sequence[Turn], tools: Sequence[Tool]) -> list[int]:
        """Render with a mark in place of each control text that a message or tool holds, and encode around them."""
        key = secrets.token_hex(8)
        found: list[str] = []

        def marked(text: str) -> str:
            pieces = []
            for piece, is_control in self._split_controls(text):
                pieces.append(f"[{key}:{len(found)}]" if is_control else piece)
                if is_control:
                    found.append(piece)
            return "".join(pieces)

        contents = [marked(message["content"]) for message in messages]
        in_contents = len(found)
        turns = [_changed_turn(m, content, marked) for m, content in zip(messages, contents, strict=True)]
        rendered = self._render(turns, _changed(tools, marked))
        if not found:
            return self._encode_plain(rendered)
        parts = re.split(rf"\[{key}:(\d+)\]", rendered)
        # What a message says has to come once and in order; a template may leave out the rest, or repeat it.
        if [number for number in map(int, parts[1::2]) if number < in_contents] != list(range(in_contents)):
            raise RequestRefusedError("the chat template changes a message that contains a control token's text")
        pieces = [(found[int(part)], True) if i % 2 else (part, False) for i, part in enumerate(parts)]
        return self._encode_pieces(pieces)

    def _render(self, messages: Sequence[Turn], tools: Sequence[Tool]) -> str:
        from jinja2.exceptions import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=True,
            )
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
        if self._encode_directly is not None:
            return self._encode_directly(text)
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _controls(self, token_ids: Sequence[int]) -> list[int]:
        return [token for token in token_ids if token in self._control_ids]


def _direct_encoder(tokenizer: Any) -> Callable[[str], list[int]] | None:
    """What `encode` without special tokens does at its core; None where the tokenizer does anything else around it.

    Sets up the backend as every `encode` does anew, which takes three times as long as the encoding of a short text.
    """
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    kind = type(tokenizer)
    known = isinstance(tokenizer, PreTrainedTokenizerFast) and (
        kind.encode is PreTrainedTokenizerBase.encode and kind._encode_plus is PreTrainedTokenizerFast._encode_plus
    )
    if not known or tokenizer.split_special_tokens:
        return None
    backend = tokenizer.backend_tokenizer

    def encode(text: str) -> list[int]:
        # Other users of the tokenizer may have left these on.
        if backend.truncation is not None:
            backend.no_truncation()
        if backend.padding is not None:
            backend.no_padding()
        if backend.encode_special_tokens:
            backend.encode_special_tokens = False
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        return ids

    return encode


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


def _changed_turn(turn: Turn, content: str, change: Callable[[str], str]) -> dict[str, Any]:
    """A turn with this content and every other text changed, but for the role."""
    others = {key: _changed(part, change) for key, part in turn.items() if key not in ("role", "content")}
    return {"role": turn["role"], "content": content, **others}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Nested values with every text changed, names included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _changed(part, change) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [_changed(part, change) for part in value]
    return value


def _index_of(whole: Sequence[int], part: Sequence[int]) -> int:
    for start in range(len(whole) - len(part) + 1):
        if list(whole[start : start + len(part)]) == list(part):
            return start
    return 0
