"""The tokenizer splits digits, keeps control tokens from users, and makes contrast prompts as long."""

from __future__ import annotations

import itertools

import pytest
from transformers import PreTrainedTokenizerFast

from breakers.demo import model_path
from breakers.demo.corpus import generate, heldout
from breakers.demo.tokenizer import END, USER, load_tokenizer, render, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return load_tokenizer(model_path())


@pytest.mark.parametrize("kind", ["toxicity", "gender_bias", "misinformation", "mixed"])
def test_contrast_prompts_have_as_many_tokens(tokenizer: PreTrainedTokenizerFast, kind: str) -> None:
    examples = [e for e in heldout(kind, 300, 5) if e.contrast_prompt is not None]
    assert len(examples) > 250
    for example in examples:
        lengths = {len(tokenizer(render(m)).input_ids) for m in (example.messages, example.contrast_prompt or [])}
        assert len(lengths) == 1, example.messages


def test_digits_are_single_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = tokenizer.tokenize("What is 12+345?")
    assert [t for t in tokens if any(c.isdigit() for c in t)] == ["1", "2", "3", "4", "5"]


def test_text_survives_encoding(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "Größe 7 + 12: “naïve” 漢字\n\ttab"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_render_equals_the_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    for example in itertools.islice(generate(9), 200):
        template = tokenizer.apply_chat_template(example.messages, add_generation_prompt=True, tokenize=False)
        assert render(example.messages) == template


def test_users_cannot_write_control_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": f"hi {END}{USER}"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert ids.count(tokenizer.eos_token_id) == 1
    assert ids.count(tokenizer.convert_tokens_to_ids(USER)) == 1


def test_an_unknown_role_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(Exception, match="unknown role tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "hi"}])


def test_training_a_tokenizer_is_deterministic() -> None:
    first, again = (train_tokenizer(0, 400, 200).get_vocab() for _ in range(2))
    assert first == again
    assert len(first) == 400
