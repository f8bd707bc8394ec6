"""Masks against an exact oracle, and what a masked draw is distributed like."""

from __future__ import annotations

import pytest
import torch
from grammar_schemas import SCHEMAS, json_grammar, validate
from serving.tiny_server import tiny_chat_model
from tiny_tokenizer import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from server.engines.base import GrammarDeadEndError, SamplingParams
from server.engines.embedded.filters import draw_tokens
from server.engines.embedded.grammar.compiler import GrammarCompiler
from server.engines.embedded.grammar.masks import masked, unpacked
from server.engines.embedded.grammar.matcher import GrammarMatcher
from server.engines.embedded.grammar.text import GrammarDetokenizer
from server.engines.embedded.grammar.vocabulary import Vocabulary
from server.engines.embedded.sampler import TokenChooser, choose
from server.engines.embedded.tokenizer import HuggingFaceTokenizer
from server.engines.grammars import Grammar, JsonGrammar, RegexGrammar

END = 2
GRID = 4000


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """As sentencepiece models: spaces are marks, unknown characters are bytes."""
    words = ["▁", "▁{", "{", "}", '"', '":', "▁red", "red", "true", "▁true", ",", "1", "2", ":", "[", "]", "▁1", "é"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    model = models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[], unk_token="<unk>", byte_fallback=True)
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    """Words with spaces between them and pieces without, joined by a decoder that tidies up."""
    letters = [chr(c) for c in range(33, 127)]
    pieces = ["[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters), "true", "##rue", "red", "null"]
    backend = Tokenizer(models.WordPiece(vocab={p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=True)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]")


TOKENIZERS = {"byte level": tiny_tokenizer, "metaspace": metaspace_tokenizer, "wordpiece": wordpiece_tokenizer}


def compiler_of(kind: str = "byte level") -> tuple[GrammarCompiler, HuggingFaceTokenizer]:
    backend = TOKENIZERS[kind]()
    tokenizer = HuggingFaceTokenizer(backend)
    # Three columns more than tokens, as models pad their vocabulary.
    vocabulary = Vocabulary(tokenizer, size=len(backend) + 3, end_ids={END})
    return GrammarCompiler(vocabulary), tokenizer


async def matcher_of(grammar: Grammar, kind: str = "byte level") -> GrammarMatcher:
    compiler, _ = compiler_of(kind)
    try:
        return await compiler.matcher(grammar)
    finally:
        compiler.stop()


def tokens(bits: bytes, vocab: int) -> set[int]:
    return set(unpacked([bits], vocab)[0].nonzero().flatten().tolist())


@pytest.mark.parametrize("kind", TOKENIZERS)
async def test_masks_are_those_of_a_finite_language(kind: str) -> None:
    """By trying: a token may come next if some word of the language begins with what there is and its bytes."""
    language = ['"red"', '"redder"', '"rot"', '"{}"', "true", "[1]", "[1,1]", "[1, 1]", "null", "-12"]
    grammar = json_grammar(
        {"enum": ["red", "redder", "rot", "{}", True, [1], [1, 1], None, -12]},
    )
    words = [word.encode() for word in language]
    compiler, _ = compiler_of(kind)
    places = {word[:n] for word in words for n in range(len(word) + 1)}
    for place in sorted(places):
        matcher = await compiler.matcher(grammar)
        pieces = matcher.pieces
        # Byte by byte where the vocabulary has it; every place that can be reached this way is looked at.
        path = _spelled(place, pieces)
        if path is None:
            continue
        for token_id in path:
            matcher.accept(token_id)
        wanted = {
            token_id
            for token_id, piece in enumerate(pieces)
            if piece and any(word.startswith(place + piece) for word in words)
        }
        wanted |= {END} if place in words else set()
        found = tokens(matcher.allowed(), len(pieces))
        following = {word[len(place) : len(place) + 1] for word in words if word.startswith(place)}
        if len(following) == 1 and following != {b""}:
            # One way to go on: the token with which the tokenizer goes it.
            assert len(found) == 1, place
            assert found <= wanted, place
        else:
            assert found == wanted, place
    compiler.stop()


def _spelled(text: bytes, pieces: tuple[bytes, ...]) -> list[int] | None:
    path = []
    while text:
        fitting = [token_id for token_id, piece in enumerate(pieces) if piece and text.startswith(piece)]
        if not fitting:
            return None
        found = max(fitting, key=lambda token_id: len(pieces[token_id]))
        path.append(found)
        text = text[len(pieces[found]) :]
    return path


@pytest.mark.parametrize("kind", ["byte level", "metaspace"])
async def test_random_walks_are_valid_whatever_the_tokenizer(kind: str) -> None:
    compiler, tokenizer = compiler_of(kind)
    generator = torch.Generator().manual_seed(5)
    for schema in SCHEMAS.values():
        for _ in range(5):
            matcher = await compiler.matcher(json_grammar(schema))
            detokenizer = GrammarDetokenizer(matcher, tokenizer.decode_list)
            text = ""
            while True:
                allowed = sorted(tokens(matcher.allowed(), len(matcher.pieces)))
                token_id = allowed[int(torch.randint(len(allowed), (1,), generator=generator))]
                matcher.accept(token_id)
                if token_id == END:
                    break
                text += detokenizer.push(token_id)
            validate(text + detokenizer.flush(), schema)
    compiler.stop()


async def test_wordpiece_replies_are_the_bytes_that_were_matched() -> None:
    """Its decoder would write other spaces."""
    compiler, tokenizer = compiler_of("wordpiece")
    matcher = await compiler.matcher(json_grammar({"enum": ["a ,b", {"x": [1, 2]}]}))
    detokenizer = GrammarDetokenizer(matcher, tokenizer.decode_list)
    text = ""
    while (chosen := max(tokens(matcher.allowed(), len(matcher.pieces)))) != END:
        matcher.accept(chosen)
        text += detokenizer.push(chosen)
    assert validate(text, {"enum": ["a ,b", {"x": [1, 2]}]}) is not None
    compiler.stop()


async def test_end_tokens_alone_follow_a_complete_value_and_a_token_too_many_is_an_error() -> None:
    matcher = await matcher_of(json_grammar({"const": 5}))
    five = next(i for i, piece in enumerate(matcher.pieces) if piece == b"5")
    bits = matcher.allowed()
    assert not matcher.only_end(bits)
    with pytest.raises(GrammarDeadEndError, match="token 2 is not in the reply's grammar"):
        matcher.accept(END)
    matcher.accept(five)
    assert matcher.only_end(matcher.allowed())
    matcher.accept(END)
    with pytest.raises(GrammarDeadEndError, match="is not in the reply's grammar"):
        matcher.accept(five)
    with pytest.raises(GrammarDeadEndError, match="cannot go on"):
        matcher.allowed()


def bitset(allowed: set[int], vocab: int) -> bytes:
    return sum(1 << token_id for token_id in allowed).to_bytes(4 * -(-vocab // 32), "little")


def test_bitsets_are_unpacked_lowest_bit_first() -> None:
    assert unpacked([bytes([0b101, 0b10, 0, 0])], 20).nonzero()[:, 1].tolist() == [0, 2, 9]
    assert unpacked([b"\xff\xff\xff\xff"], 40).sum() == 32
    for seed in range(5):
        wanted = set(torch.randint(70, (20,), generator=torch.Generator().manual_seed(seed)).tolist())
        assert tokens(bitset(wanted, 70), 70) == wanted


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(max_tokens=1),
        SamplingParams(max_tokens=1, temperature=2.5),
        SamplingParams(max_tokens=1, temperature=0.7, top_k=5, top_p=0.8),
        SamplingParams(max_tokens=1, min_p=0.2),
    ],
    ids=str,
)
def test_a_masked_draw_has_the_renormalised_distribution(params: SamplingParams) -> None:
    """As if the forbidden tokens did not exist: the filters see a vocabulary of the allowed ones alone."""
    vocab, allowed = 200, [3, 5, 8, 13, 21, 34, 55, 89, 144, 199]
    logits = torch.randn(1, vocab, generator=torch.Generator().manual_seed(2)) * 2
    uniform = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    everywhere = logits.expand(GRID, -1).clone()
    with masked(everywhere, [bitset(set(allowed), vocab)] * GRID):
        found = draw_tokens(everywhere, [params] * GRID, uniform)
    assert torch.equal(everywhere, logits.expand(GRID, -1))
    alone = logits[:, allowed].expand(GRID, -1)
    wanted = torch.tensor(allowed)[draw_tokens(alone, [params] * GRID, uniform)]
    shares = [torch.bincount(x, minlength=vocab).double() / GRID for x in (found, wanted)]
    assert float((shares[0] - shares[1]).abs().max()) <= 2.01 / GRID
    if params == SamplingParams(max_tokens=1):
        exact = torch.zeros(vocab, dtype=torch.float64)
        exact[allowed] = logits[0, allowed].double().softmax(-1)
        assert float((shares[0] - exact).abs().max()) <= 1.01 / GRID


def test_rows_without_a_mask_are_what_they_were_to_the_bit() -> None:
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(3)) * 3
    before = logits.clone()
    rules = [SamplingParams(max_tokens=1, seed=s, temperature=t, top_logprobs=2) for s, t in enumerate((0, 1, 1, 2))]
    free = choose(logits, [TokenChooser(r) for r in rules])
    limits = [None, bitset({7, 9}, 300), None, bitset({11}, 300)]
    found = choose(logits, [TokenChooser(r) for r in rules], limits)
    assert torch.equal(logits, before)
    assert (found[0], found[2]) == (free[0], free[2])
    assert found[1].token_id in (7, 9)
    assert found[3].token_id == 11
    assert found[3].logprob == pytest.approx(float(before.log_softmax(-1)[3, 11]), abs=1e-5)
    # The likeliest are named as the model sees them.
    assert [c.top for c in found] == [c.top for c in free]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_row_without_a_possible_token_gives_none(bad: float) -> None:
    logits = torch.zeros(2, 40)
    logits[0, 5] = bad
    chooser = TokenChooser(SamplingParams(max_tokens=1, seed=1))
    found = choose(logits, [chooser, chooser], [bitset({5}, 40), None])
    assert found[0] is None
    assert found[1] is not None


async def test_half_a_character_at_the_end_is_not_shown() -> None:
    matcher = await matcher_of(RegexGrammar(pattern="[é☃]{3}"))
    tokenizer = HuggingFaceTokenizer(tiny_chat_model().tokenizer)
    detokenizer = GrammarDetokenizer(matcher, tokenizer.decode_list)
    ids = tokenizer.encode("é☃")
    assert "".join(map(detokenizer.push, ids[:-1])) + detokenizer.flush() == "é"


async def test_free_text_begins_as_the_tokenizer_begins_it() -> None:
    compiler, tokenizer = compiler_of("metaspace")
    matcher = await compiler.matcher(JsonGrammar(schema="{}"))
    ids = [next(i for i, p in enumerate(matcher.pieces) if p == b" red")] * 2
    assert "".join(map(GrammarDetokenizer(matcher, tokenizer.decode_list).push, ids)) == " red red"
    matcher.free_text = True
    assert "".join(map(GrammarDetokenizer(matcher, tokenizer.decode_list).push, ids)) == "red red"
    assert tokenizer.decode(ids) == "red red"
    compiler.stop()
