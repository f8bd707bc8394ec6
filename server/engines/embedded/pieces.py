"""What single tokens stand for: the bytes that each adds to a text."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

from server.engines.base import TokenPiece

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
"""How vocabularies with byte fallback write a single byte."""

_ANCHOR = "a"
"""Text before the token, so that a space at the token's start is not the start of a text."""


class TokenPieces:
    """Pieces by token id, over a transformers tokenizer.

    Byte-level tokens are read through their alphabet, byte-fallback tokens by their names, and all others as what
    they add to a text that goes before them.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def piece(self, token_id: int) -> TokenPiece:
        """The piece of a token; ids that the vocabulary lacks (padding of the model's output) have neither part."""
        added = self._added.get(token_id)
        if added is not None:
            content = str(added.content)
            return TokenPiece(text=content, data=None if added.special else content.encode())
        name = self._tokenizer.convert_ids_to_tokens(token_id)
        if name is None:
            return TokenPiece(text="", data=None)
        data = self._data(token_id, str(name))
        return TokenPiece(text=data.decode(errors="replace"), data=data)

    def _data(self, token_id: int, name: str) -> bytes:
        if "ByteLevel" in self._decoders:
            return b"".join(self._alphabet.get(character, character.encode()) for character in name)
        byte = _BYTE_TOKEN.fullmatch(name)
        if byte is not None and "ByteFallback" in self._decoders:
            return bytes([int(byte.group(1), 16)])
        before, anchored = self._decode(self._anchor), self._decode([*self._anchor, token_id])
        # A decoder may tidy up what it joins (a space before a full stop): then the token stands for itself.
        text = anchored[len(before) :] if anchored.startswith(before) else self._decode([token_id])
        return text.encode()

    def _decode(self, token_ids: list[int]) -> str:
        text = self._tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    @cached_property
    def _added(self) -> dict[int, Any]:
        return {int(token_id): token for token_id, token in self._tokenizer.added_tokens_decoder.items()}

    @cached_property
    def _anchor(self) -> list[int]:
        return list(self._tokenizer.encode(_ANCHOR, add_special_tokens=False))

    @cached_property
    def _alphabet(self) -> dict[str, bytes]:
        return {character: bytes([byte]) for byte, character in enumerate(byte_alphabet())}

    @cached_property
    def _decoders(self) -> frozenset[str]:
        """Names of the steps that turn the tokens' names into text."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None or backend.decoder is None:
            return frozenset()
        # A decoder's state is its description in JSON; the whole tokenizer's would hold the vocabulary as well.
        return frozenset(_types(json.loads(backend.decoder.__getstate__())))


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2's convention).

    Printable Latin-1 characters stand for themselves, the others for those from U+0100 on, in order.
    """
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in itself]
    codes = {byte: byte for byte in itself} | {byte: 0x100 + i for i, byte in enumerate(others)}
    return [chr(codes[byte]) for byte in range(0x100)]


def _types(decoder: dict[str, Any]) -> list[str]:
    return [str(decoder["type"]), *(name for inner in decoder.get("decoders", ()) for name in _types(inner))]
