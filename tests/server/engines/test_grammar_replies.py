"""Replies with a grammar, from the engine: whatever is drawn is valid, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from engine_contract import Reply, replies, reply, running, whole
from grammar_schemas import SCHEMAS, json_grammar, validate
from serving.tiny_server import tiny_chat_model

from server.engines.base import (
    FinishReason,
    GenerationRequest,
    GrammarDeadEndError,
    RequestRefusedError,
    SamplingParams,
)
from server.engines.embedded import EmbeddedEngineConfig, load_embedded_engine
from server.engines.embedded.engine import EmbeddedEngine
from server.engines.grammars import ANY_OBJECT, Grammar, JsonGrammar, RegexGrammar

END = 2
PROMPT = (1, 3, 40, 50, 2, 4)


def wanted(grammar: Grammar | None, **rules: object) -> GenerationRequest:
    sampling = SamplingParams(**{"max_tokens": 240, "temperature": 1.5, "seed": 0, "grammar": grammar} | rules)
    return GenerationRequest(request_id="r", prompt_token_ids=PROMPT, sampling=sampling)


@asynccontextmanager
async def tiny_engine(*, seed: int = 0, deterministic: bool = False) -> AsyncIterator[EmbeddedEngine]:
    config = EmbeddedEngineConfig(
        model=tiny_chat_model(seed), slots=8, deterministic=deterministic, drain_seconds=0.0, deterministic_chunk=16
    )
    async with running(load_embedded_engine(config)) as engine:
        yield engine


@pytest.mark.parametrize("model_seed", [0, 1])
async def test_whatever_is_drawn_is_valid(model_seed: int) -> None:
    async with tiny_engine(seed=model_seed) as engine:
        cases = [(schema, seed) for schema in SCHEMAS.values() for seed in range(4)]
        found = await replies(engine, [wanted(json_grammar(schema), seed=seed) for schema, seed in cases])
        for (schema, _), answer in zip(cases, found, strict=True):
            assert answer.finish_reason is FinishReason.STOP, answer.text
            validate(answer.text, schema)
            assert answer.token_ids[-1] == END
        # Not one and the same reply each time.
        assert len({answer.text for answer in found}) > len(SCHEMAS)


async def test_greedy_and_filtered_replies_are_valid_too() -> None:
    async with tiny_engine() as engine:
        rules = ({"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.05, "temperature": 0.4}, {"min_p": 0.9})
        found = await replies(engine, [wanted(json_grammar(s), **r) for s in SCHEMAS.values() for r in rules])
        for schema, answer in zip([s for s in SCHEMAS.values() for _ in rules], found, strict=True):
            validate(answer.text, schema)


async def test_the_same_seed_draws_the_same_reply_alone_and_in_a_batch() -> None:
    async with tiny_engine(deterministic=True) as engine:
        requests = [wanted(json_grammar(schema), seed=9) for schema in list(SCHEMAS.values())[:4]]
        alone = [await reply(engine, request) for request in requests]
        assert await replies(engine, requests) == alone


async def test_requests_beside_one_with_a_grammar_are_the_same_to_the_bit() -> None:
    free = [wanted(None, seed=seed, max_tokens=30, temperature=t) for seed, t in ((1, 0.0), (2, 1.0), (3, 1.5))]
    async with tiny_engine(deterministic=True) as engine:
        before = [await reply(engine, request) for request in free]
        busy = [wanted(json_grammar(schema)) for schema in list(SCHEMAS.values())[:3]]
        together = await replies(engine, [*busy, *free])
        assert together[3:] == before


async def test_a_reply_that_is_cut_says_so() -> None:
    async with tiny_engine() as engine:
        grammar = json_grammar({"type": "array", "items": {"const": "long"}, "minItems": 20})
        cut = await reply(engine, wanted(grammar, max_tokens=9))
        assert cut.finish_reason is FinishReason.LENGTH
        assert cut.text == '["long",'[: len(cut.text)] or cut.text.startswith('["long"')
        stopped = await reply(engine, wanted(grammar, stop=("ng",)))
        assert stopped.finish_reason is FinishReason.STOP
        assert stopped.text == '["lo'


async def test_the_end_comes_where_nothing_else_can_whatever_min_tokens_says() -> None:
    async with tiny_engine() as engine:
        short = await reply(engine, wanted(json_grammar({"const": True}), min_tokens=100))
        assert (short.text, short.token_ids[-1], short.finish_reason) == ("true", END, FinishReason.STOP)
        assert len(short.token_ids) == 5
        # Where more may follow, it does.
        eager = {"logit_bias": {END: 100.0}}
        digits = RegexGrammar(pattern="[0-9]{1,50}")
        assert len((await reply(engine, wanted(digits, **eager))).text) == 1
        assert len((await reply(engine, wanted(digits, min_tokens=12, **eager))).text) == 12


async def test_bias_and_penalties_choose_among_what_is_allowed() -> None:
    async with tiny_engine() as engine:
        digit = {d: engine.tokenizer.encode(d)[-1] for d in "0123456789"}
        forbidden = engine.tokenizer.encode("x")[-1]
        bias = {digit["7"]: 50.0, forbidden: 100.0}
        grammar = RegexGrammar(pattern="[0-9]{8}")
        assert (await reply(engine, wanted(grammar, logit_bias=bias))).text == "77777777"
        level = dict.fromkeys(digit.values(), 100.0)
        spread = await reply(engine, wanted(grammar, logit_bias=level, repetition_penalty=100.0, temperature=0.0))
        assert len(set(spread.text)) == 8


async def test_logprobs_are_the_models_own() -> None:
    """The only allowed token is certain to come, and still as unlikely as the model thinks."""
    async with tiny_engine() as engine:
        grammar = json_grammar({"const": "abc"})
        found = [c async for c in engine.generate(wanted(grammar, top_logprobs=3, temperature=0.0))]
        answer = whole(found)
        own = await engine.score(wanted(None), answer.token_ids)
        assert answer.logprobs == pytest.approx(list(own), abs=1e-4)
        assert any(chunk.top_logprobs[0][0].token_id != chunk.token_ids[0] for chunk in found)


async def test_any_object_is_an_object() -> None:
    async with tiny_engine() as engine:
        eager = {engine.tokenizer.encode(c)[-1]: 12.0 for c in '}"]'}
        grammar = JsonGrammar(schema=ANY_OBJECT)
        found = await replies(engine, [wanted(grammar, seed=s, logit_bias=eager, temperature=1.0) for s in range(12)])
        ended = [a for a in found if a.finish_reason is FinishReason.STOP]
        assert len(ended) > 6
        assert all(isinstance(json.loads(a.text), dict) for a in ended)
        assert any(json.loads(a.text) for a in ended)


async def test_a_grammar_that_gets_too_complex_fails_its_request_alone() -> None:
    many = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(1500)}}
    grammar = json_grammar({"anyOf": [{"type": "string"}, many]})
    async with tiny_engine() as engine:
        bias = {engine.tokenizer.encode("{")[-1]: 100.0}
        beside = [wanted(json_grammar(SCHEMAS["nested objects"]), seed=4), wanted(None, max_tokens=30)]
        alone = [await reply(engine, request) for request in beside]
        tasks = [wanted(grammar, logit_bias=bias), *beside]
        found = await _gathered(engine, tasks)
        assert isinstance(found[0], GrammarDeadEndError)
        assert "items" in str(found[0])
        assert [a.text for a in found[1:] if isinstance(a, Reply)] == [a.text for a in alone]
        assert engine.stats().running == 0


async def test_ignoring_the_end_and_a_grammar_exclude_each_other() -> None:
    async with tiny_engine() as engine:
        with pytest.raises(RequestRefusedError, match="ignore_eos cannot be used with a grammar") as refused:
            await reply(engine, wanted(json_grammar({"type": "null"}), ignore_eos=True))
        assert refused.value.param == "ignore_eos"
        with pytest.raises(RequestRefusedError, match='Unimplemented keys: \\["not"\\]') as refused:
            await reply(engine, wanted(replace(json_grammar({"not": {}}), param="here")))
        assert refused.value.param == "here"


async def _gathered(engine: EmbeddedEngine, requests: list[GenerationRequest]) -> list[object]:
    return await asyncio.gather(*(reply(engine, request) for request in requests), return_exceptions=True)
