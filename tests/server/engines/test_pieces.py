"""What single tokens stand for: their bytes join to the text, whatever the vocabulary is made of."""

from __future__ import annotations

import pytest
from tiny_tokenizer import CONTROLS, tiny_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from server.engines.base import TokenPiece
from server.engines.embedded.pieces import byte_alphabet
from server.engines.embedded.tokenizer import HuggingFaceTokenizer

TEXTS = ["hello world", " two  spaces ", "日本語 é", "👩‍👩‍👧 tab\tand\nline", "a\u0301 real \ufffd one"]


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2's and Gemma's: words with a mark for the space, and a token for each byte."""
    pieces = [
        "<unk>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"abdehlorw▁",
        "he",
        "ll",
        "hell",
        "hello",
    ]
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o")]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken("</s>", special=True, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")


def word_piece_tokenizer() -> PreTrainedTokenizerFast:
    """Parts of words, without any bytes."""
    pieces = ["[UNK]", "a", "hello", "world", "##ly", "."]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=True)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


@pytest.mark.parametrize("raw", [tiny_tokenizer(), byte_fallback_tokenizer()], ids=["byte level", "byte fallback"])
@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_the_tokens_join_to_the_text(raw: PreTrainedTokenizerFast, text: str) -> None:
    tokenizer = HuggingFaceTokenizer(raw)
    ids = raw.encode(text, add_special_tokens=False)
    pieces = [tokenizer.piece(token_id) for token_id in ids]
    assert b"".join(piece.data for piece in pieces).decode() == text
    assert tokenizer.decode(ids) == text


def test_part_of_a_character_has_its_byte_and_a_replacement_as_text() -> None:
    raw = tiny_tokenizer()
    tokenizer = HuggingFaceTokenizer(raw)
    assert [tokenizer.piece(i) for i in raw.encode("é")] == [
        TokenPiece(text="\ufffd", data=b"\xc3"),
        TokenPiece(text="\ufffd", data=b"\xa9"),
    ]
    assert tokenizer.piece(raw.convert_tokens_to_ids("hello")) == TokenPiece(text="hello", data=b"hello")


def test_control_tokens_have_a_name_and_no_bytes() -> None:
    raw = tiny_tokenizer()
    raw.add_tokens([AddedToken("<tool>", special=False)])
    tokenizer = HuggingFaceTokenizer(raw)
    assert tokenizer.piece(CONTROLS.index("<|end|>")) == TokenPiece(text="<|end|>", data=None)
    assert tokenizer.piece(raw.convert_tokens_to_ids("<tool>")) == TokenPiece(text="<tool>", data=b"<tool>")
    assert tokenizer.piece(len(raw) + 5) == TokenPiece(text="", data=None)


def test_tokens_without_bytes_are_what_they_add_to_a_text() -> None:
    raw = word_piece_tokenizer()
    tokenizer = HuggingFaceTokenizer(raw)
    found = [tokenizer.piece(token_id).text for token_id in raw.encode("hello worldly.", add_special_tokens=False)]
    assert found == [" hello", " world", "ly", "."]


def test_the_alphabet_is_the_byte_level_one() -> None:
    alphabet = byte_alphabet()
    assert sorted(alphabet) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert (alphabet[ord(" ")], alphabet[ord("\n")], alphabet[ord("A")]) == ("Ġ", "Ċ", "A")
