"""A small byte-level tokenizer made in memory: any text, a chat template, control tokens; vocabulary of `VOCAB`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROLS = ("<|pad|>", "<|bos|>", "<|end|>", "<|user|>", "<|model|>", "<|system|>")

MERGES = (("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or"), ("l", "d"))

TEMPLATE = (
    "<|bos|>{% for m in messages %}"
    "{% if m.role == 'user' %}<|user|>{% elif m.role == 'assistant' %}<|model|>{% else %}<|system|>{% endif %}"
    "{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|model|>{% endif %}"
)


def tiny_tokenizer(*, chat: bool = True) -> PreTrainedTokenizerFast:
    """Control tokens 0 to 5 (end of reply: 2), then 256 bytes, then a few merges."""
    tokenizer = byte_tokenizer(CONTROLS, pad=CONTROLS[0], bos=CONTROLS[1], eos=CONTROLS[2])
    if chat:
        tokenizer.chat_template = TEMPLATE
    return tokenizer


def byte_tokenizer(
    controls: Sequence[str], *, pad: str, eos: str, bos: str | None = None, added: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """These control tokens, then tokens that stay whole but are text, then 256 bytes and a few merges."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*controls, *added, *symbols, *("".join(pair) for pair in MERGES)]
    backend = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=list(MERGES)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(control, special=True, normalized=False) for control in controls])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=pad, bos_token=bos, eos_token=eos)
