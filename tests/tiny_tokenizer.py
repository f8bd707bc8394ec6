"""A small byte-level tokenizer made in memory: any text, a chat template, control tokens; vocabulary of `VOCAB`."""

from __future__ import annotations

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
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*CONTROLS, *symbols, *("".join(pair) for pair in MERGES)]
    backend = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=list(MERGES)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(control, special=True, normalized=False) for control in CONTROLS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=CONTROLS[0], bos_token=CONTROLS[1], eos_token=CONTROLS[2]
    )
    if chat:
        tokenizer.chat_template = TEMPLATE
    return tokenizer
