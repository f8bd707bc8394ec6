"""The demo's tokenizer: byte-level BPE with single digits, trained on the corpus, with a chat template.

User text cannot inject control tokens through the chat template: it breaks ``<|`` apart in every message.
Text given to the tokenizer directly is not guarded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from breakers.demo.corpus import generate
from breakers.demo.corpus.base import DemoExample
from breakers.demo.corpus.lexicon import words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, BOS, END, SYSTEM, USER, ASSISTANT)

CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role ' ~ message['role'] ~ '; known are system, user and assistant') }}{% endif %}"
    "{{ '<|' ~ message['role'] ~ '|>' ~ (message['content'] | trim | replace('<|', '< |')) ~ '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Renders messages; the prompt for a reply ends in ``<|assistant|>``."""

MARKED_REPEATS = 500
"""How often each form of a marked word is repeated, so that it gets a token of its own."""


def _marked_words() -> Iterator[str]:
    """Yield marked words, in all forms; a contrast prompt has as many tokens only if each is one token."""
    lists = words()
    pairs = ("adjective_pairs", "noun_pairs", "verb_pairs", "casual_plain")
    names = [word for name in pairs for pair in lists[name] for word in pair]
    names += [*lists["female_jobs"], *lists["male_jobs"], *lists["roles"]]
    for word in names:
        yield f"a {word}"
    for word in itertools.chain(*lists["adjective_pairs"], *lists["casual_plain"]):
        yield word
        yield word.capitalize()


def _texts(examples: Sequence[DemoExample]) -> Iterator[str]:
    for example in examples:
        for message in example.messages:
            yield message["content"]
        yield example.reply
    for text in _marked_words():
        yield from itertools.repeat(text, MARKED_REPEATS)


def train_tokenizer(seed: int, vocab_size: int, examples: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the first examples of the corpus.

    Args:
        seed: the corpus seed.
        vocab_size: number of tokens, the special ones and the 256 bytes included.
        examples: how many examples to read.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(list(itertools.islice(generate(seed), examples))), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def render(messages: Sequence[dict[str, str]], reply: str | None = None) -> str:
    """Render a conversation as the chat template does, much faster; with a reply, the reply and its end."""
    turns = "".join(f"<|{m['role']}|>{m['content'].strip().replace('<|', '< |')}{END}" for m in messages)
    return f"{BOS}{turns}{ASSISTANT}" + ("" if reply is None else f"{reply}{END}")


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer that was saved with the model."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(path)
    return tokenizer
