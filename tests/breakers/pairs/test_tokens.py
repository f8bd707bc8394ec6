"""Token ids of pairs: as the demo's own bundles are made, with other templates, and without one."""

from __future__ import annotations

import pytest
from pair_records import pair
from tiny_tokenizer import TEMPLATE, tiny_tokenizer

from breakers.demo import model_path
from breakers.demo.corpus import training
from breakers.demo.make_bundles import load_demo_model, material
from breakers.errors import PairsError
from breakers.pairs.build import build_pairs
from breakers.pairs.record import Message, user_turn
from breakers.pairs.sources import SourceSpec
from breakers.pairs.sources.demo import DemoSource
from breakers.pairs.tokens import ConversationEncoder, ConversionConfig, UnfitPairError, to_case, to_cases

PAD, BOS, END, USER, MODEL, SYSTEM = range(6)


def test_demo_pairs_have_the_ids_that_the_demos_bundles_were_trained_on() -> None:
    base = load_demo_model(model_path())
    examples = training("misinformation", 20, 0)
    wanted = material(base, {"misinformation": examples}, []).pairs["misinformation"]
    spec = SourceSpec(behaviour="misinformation", count=20, validation_share=0.0)
    records = build_pairs(DemoSource().pairs(spec), "misinformation", count=20).records
    made = to_cases(records, base.tokenizer, ConversionConfig(need_contrast=True))
    # The tokenizer has one token for each marked word: no contrast prompt has another length.
    assert (made.dropped, made.without_contrast) == ({}, 0)
    assert [case.pair for case in made.cases] == list(wanted)


def test_a_chat_is_rendered_by_the_template() -> None:
    encoder = ConversationEncoder(tiny_tokenizer())
    turns = (Message(role="system", content="!"), *user_turn("hello"))
    bang, hello = encoder.reply(turns, "!")[0], encoder.reply(turns, "hello")[0]
    assert encoder.prompt(turns) == (BOS, SYSTEM, bang, END, USER, hello, END, MODEL)
    assert encoder.reply(turns, "hello!") == (hello, bang, END)
    # A control token in a reply's text stands there as it would in the model's own output.
    assert encoder.end_token_id == END


def test_a_reply_ends_as_the_template_ends_it() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("{{ m.content | trim }}<|end|>", "{{ m.content | trim }}<|system|>\n")
    assert tokenizer.eos_token_id == END
    assert ConversationEncoder(tokenizer).end_token_id == SYSTEM
    # Nothing that is a control token after a reply: the eos token.
    tokenizer.chat_template = TEMPLATE.replace("<|end|>", "\n")
    assert ConversationEncoder(tokenizer).end_token_id == END


def test_without_a_template_a_reply_follows_after_a_space() -> None:
    tokenizer = tiny_tokenizer(chat=False)
    encoder = ConversationEncoder(tokenizer)
    turns = (Message(role="user", content="hello"), *user_turn("world"))
    assert encoder.prompt(turns) == tuple(tokenizer.encode("hello\nworld"))
    reply = encoder.reply(turns, "wor")
    assert reply == (*tokenizer.encode(" wor"), END)
    assert tokenizer.decode([*encoder.prompt(turns), *reply[:-1]]) == "hello\nworld wor"
    with pytest.raises(UnfitPairError, match="the reply ' ' has no tokens"):
        encoder.reply(turns, " ")


def test_a_template_that_refuses_is_quoted() -> None:
    tokenizer = tiny_tokenizer()
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    tokenizer.chat_template = refusal + TEMPLATE
    encoder = ConversationEncoder(tokenizer)
    with pytest.raises(PairsError, match="the chat template refuses turns of system, user: no system here"):
        encoder.prompt((Message(role="system", content="x"), *user_turn("y")))


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = tiny_tokenizer(chat=False)
    tokenizer.eos_token = None
    with pytest.raises(PairsError, match="the tokenizer has no end token"):
        ConversationEncoder(tokenizer)


def test_a_reply_that_tokenises_to_nothing_is_named() -> None:
    from tokenizers import normalizers

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
    encoder = ConversationEncoder(tokenizer)
    with pytest.raises(UnfitPairError, match="the reply '~' has no tokens; wanted at least one"):
        to_case(pair(neutral="~"), encoder)
    with pytest.raises(UnfitPairError, match="the two replies of a pair are the same"):
        to_case(pair(harmful="a~", neutral="a"), encoder)
    made = to_cases([pair(neutral="~"), pair(harmful="a~", neutral="a"), pair()], tokenizer)
    assert made.dropped == {"a reply without tokens": 1, "the same tokens in both replies": 1}
    assert made.records == (pair(),)
    with pytest.raises(PairsError, match="no pair could be made into token ids \\(1 with a reply without tokens\\)"):
        to_cases([pair(neutral="~")], tokenizer)


def test_a_contrast_prompt_of_another_length() -> None:
    tokenizer = tiny_tokenizer()
    fitting = pair("hello a", contrast_prompt=user_turn("hello b"))
    longer = pair("hello a", contrast_prompt=user_turn("hello bc"))
    with pytest.raises(UnfitPairError, match="the pair 'hello a': a contrast prompt has 8 tokens, its prompt 7"):
        to_case(longer, ConversationEncoder(tokenizer))
    made = to_cases([fitting, longer, pair()], tokenizer)
    assert [case.contrast is not None for case in made.cases] == [True, False, False]
    assert (made.dropped, made.without_contrast) == ({}, 1)
    strict = to_cases([fitting, longer, pair()], tokenizer, ConversionConfig(need_contrast=True))
    assert strict.records == (fitting,)
    assert strict.dropped == {"a contrast prompt of another length": 1, "no contrast prompt": 1}


def test_what_is_too_long_is_dropped() -> None:
    tokenizer = tiny_tokenizer()
    short, long = pair("a", harmful="b", neutral="c"), pair("a", harmful="b", neutral="c" * 30)
    made = to_cases([short, long], tokenizer, ConversionConfig(longest=20))
    assert (made.records, made.dropped) == ((short,), {"too long": 1})
