"""The contract suite for sampling: what every engine must do with the rules of a request. Subclass it and say how
to build the engine.

The sampler does not depend on the model, so a few architectures are enough: one plain, one whose attention slides
(prompt scores), one whose rows influence each other's bits (deterministic mode).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from engine_contract import (
    PLANS,
    REPLY,
    TOLERANCE,
    Reference,
    contract_bundles,
    prompt,
    replies,
    reply,
    request,
    running,
    whole,
)
from tiny import VOCAB

from breakers.bank import BankEntry
from server.engines.base import (
    Engine,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    RequestRefusedError,
    ScoredToken,
)

TYPES = ("llama", "gemma3_text", "mixtral")

END = 2
"""The end token of the tiny models."""

RULES: tuple[dict[str, object], ...] = (
    {"temperature": 1.3, "min_p": 0.05, "top_logprobs": 4},
    {"temperature": 0.0, "repetition_penalty": 1.6, "top_logprobs": 20},
    {"temperature": 0.9, "presence_penalty": 1.1, "frequency_penalty": -0.3, "top_k": 30, "top_p": 0.9},
    {"temperature": 2.0, "logit_bias": {5: 4.0, 6: -100.0}, "min_tokens": 3, "top_logprobs": 1},
    {"temperature": 1.0, "ignore_eos": True, "prompt_logprobs": 3},
    {"temperature": 1.5, "seed": 1},
)
"""A mixed batch: every rule, beside rows that use others."""


def mixed(tokens: int = REPLY) -> list[GenerationRequest]:
    return [
        request(prompt(4 + 6 * i), PLANS[i % len(PLANS)], max_tokens=tokens, **{"seed": i} | rules)
        for i, rules in enumerate(RULES)
    ]


def prompt_scores(chunks: Sequence[GenerationChunk]) -> tuple[ScoredToken, ...]:
    assert not any(chunk.prompt_logprobs for chunk in chunks[1:])
    return chunks[0].prompt_logprobs


async def chunks_of(engine: Engine, wanted: GenerationRequest) -> list[GenerationChunk]:
    return [chunk async for chunk in engine.generate(wanted)]


def own_logprobs(reference: Reference, wanted: GenerationRequest, tokens: Sequence[int] = ()) -> torch.Tensor:
    """Log-probabilities at every position of prompt and reply, from a plain forward under the request's plan."""
    ids = torch.tensor([[*wanted.prompt_token_ids, *tokens]])
    start = wanted.generation_start
    start = len(wanted.prompt_token_ids) - 1 if start is None else start
    with torch.no_grad(), reference._runtime.steering(wanted.plan.strengths(), start):
        return reference.model(ids, use_cache=False).logits[0].log_softmax(-1)


@pytest.mark.parametrize("model_type", TYPES)
class SamplingContract:
    """Subclass as `Test...` and implement `build`, as for the contract of engines."""

    def build(
        self,
        model_type: str,
        bundles: Sequence[BankEntry] = (),
        *,
        deterministic: bool = False,
        slots: int = 5,
        prefill_budget: int = 512,
        queue_size: int = 64,
    ) -> Engine:
        raise NotImplementedError

    async def test_logprobs_are_the_models_own_whatever_the_rules(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        reference = Reference(model_type, bundles)
        async with running(self.build(model_type, bundles)) as engine:
            for wanted in mixed():
                chunks = await chunks_of(engine, wanted)
                found, named = whole(chunks), [top for chunk in chunks for top in chunk.top_logprobs]
                own = own_logprobs(reference, wanted, found.token_ids)[len(wanted.prompt_token_ids) - 1 : -1]
                given = own.gather(1, torch.tensor(found.token_ids)[:, None])[:, 0].tolist()
                assert found.logprobs == pytest.approx(given, abs=TOLERANCE)
                asked = wanted.sampling.top_logprobs
                assert len(named) == (len(found.token_ids) if asked else 0)
                for row, top in enumerate(named):
                    best = own[row].topk(asked).values.tolist()
                    assert [entry.logprob for entry in top] == pytest.approx(best, abs=TOLERANCE)
                    assert [float(own[row, e.token_id]) for e in top] == pytest.approx(best, abs=TOLERANCE)

    @pytest.mark.parametrize("budget", [512, 7])
    async def test_prompt_logprobs_are_those_of_a_plain_forward(self, model_type: str, budget: int) -> None:
        """With and without plans, from any start, in one piece or in chunks, beside others."""
        bundles = contract_bundles(model_type)
        reference = Reference(model_type, bundles)
        wanted = [
            request(prompt(20), max_tokens=2, prompt_logprobs=2),
            request(prompt(21), PLANS[-1], max_tokens=3, prompt_logprobs=0),
            request(prompt(22), PLANS[-1], max_tokens=3, generation_start=4, prompt_logprobs=5),
            request(prompt(23), PLANS[3], max_tokens=0, prompt_logprobs=1),
            request(prompt(1), max_tokens=2, prompt_logprobs=1),
            request(prompt(24), max_tokens=2),
        ]
        async with running(self.build(model_type, bundles, prefill_budget=budget)) as engine:
            plain = await replies(engine, wanted[-1:])
            for r in wanted:
                scores = prompt_scores(await chunks_of(engine, r))
                asked = r.sampling.prompt_logprobs
                targets = r.prompt_token_ids[1:] if asked is not None else ()
                assert tuple(s.token_id for s in scores) == targets
                own = own_logprobs(reference, r)
                for row, scored in enumerate(scores):
                    assert scored.logprob == pytest.approx(float(own[row, scored.token_id]), abs=TOLERANCE)
                    best = own[row].topk(asked).values.tolist()
                    assert [entry.logprob for entry in scored.top] == pytest.approx(best, abs=TOLERANCE)
            found = await replies(engine, wanted)
        assert found[-1].token_ids == plain[0].token_ids
        for r, f in zip(wanted, found, strict=True):
            assert f.token_ids == (reference.greedy(r) if r.sampling.max_tokens else [])

    async def test_a_prompt_can_be_scored_without_a_reply(self, model_type: str) -> None:
        async with running(self.build(model_type)) as engine:
            length = engine.info.max_model_len
            chunks = await chunks_of(engine, request(prompt(length), max_tokens=0, prompt_logprobs=0))
            assert len(chunks) == 1
            assert len(chunks[0].prompt_logprobs) == length - 1
            assert (chunks[0].token_ids, chunks[0].text) == ((), "")
            assert chunks[0].finish_reason is FinishReason.LENGTH
            assert engine.stats().running == 0
            with pytest.raises(RequestRefusedError, match="max_tokens is 0; wanted at least 1"):
                await reply(engine, request(prompt(5), max_tokens=0))
            assert (await reply(engine, request(prompt(6)))).finish_reason is not None

    @pytest.mark.parametrize("deterministic", [False, True])
    async def test_rules_give_the_same_alone_and_in_a_batch(self, model_type: str, deterministic: bool) -> None:
        bundles = contract_bundles(model_type)
        async with running(self.build(model_type, bundles, deterministic=deterministic, slots=4)) as engine:
            together = await replies(engine, mixed())
            backwards = (await replies(engine, mixed()[::-1]))[::-1]
            alone = [await chunks_of(engine, r) for r in mixed()]
            others = await replies(engine, [*map(reseeded, mixed())])
        for t, b, a, o, rules in zip(together, backwards, alone, others, RULES, strict=True):
            assert t.text == b.text == whole(a).text
            assert t.token_ids == b.token_ids == whole(a).token_ids
            if deterministic:
                assert t.logprobs == b.logprobs == whole(a).logprobs
            assert (o.token_ids == t.token_ids) == (rules.get("temperature") == 0.0)

    async def test_named_tokens_and_prompt_scores_are_bitwise_in_deterministic_mode(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        wanted = mixed(tokens=3)
        async with running(self.build(model_type, bundles, deterministic=True, slots=6)) as engine:
            alone = [await chunks_of(engine, r) for r in wanted]
            together = await asyncio.gather(*[chunks_of(engine, r) for r in wanted])
        for found, expected in zip(together, alone, strict=True):
            # The second time prompts come out of the prefix cache, to the bit.
            assert [replace(chunk, cached_tokens=0) for chunk in found] == expected

    async def test_end_tokens_wait_for_min_tokens(self, model_type: str) -> None:
        """On a model that would end at once."""
        eager = {"logit_bias": {END: 100.0}}
        async with running(self.build(model_type)) as engine:
            at_once = await reply(engine, request(prompt(9), max_tokens=20, **eager))
            assert at_once.token_ids == [END]
            for temperature in (0.0, 1.0):
                rules = eager | {"min_tokens": 7, "temperature": temperature, "seed": 3}
                found = await reply(engine, request(prompt(9), max_tokens=20, **rules))
                assert END not in found.token_ids[:7]
                assert found.token_ids[7:] == [END]
                assert found.finish_reason is FinishReason.STOP
            full = await reply(engine, request(prompt(9), max_tokens=20, min_tokens=20, **eager))
            assert len(full.token_ids) == 20
            assert full.finish_reason is FinishReason.LENGTH
            long = prompt(engine.info.max_model_len - 10)
            with pytest.raises(RequestRefusedError, match="min_tokens is 30; this prompt leaves room for 10"):
                await reply(engine, request(long, max_tokens=40, min_tokens=30))

    async def test_end_tokens_are_tokens_where_they_are_ignored(self, model_type: str) -> None:
        eager = {"logit_bias": {END: 100.0}, "ignore_eos": True, "max_tokens": 12}
        async with running(self.build(model_type)) as engine:
            found = await reply(engine, request(prompt(9), **eager))
            assert found.token_ids == [END] * 12
            assert found.finish_reason is FinishReason.LENGTH
            assert found.text == ""
            # They are not forbidden either.
            assert (await reply(engine, request(prompt(9), **eager, min_tokens=12))).token_ids == [END] * 12

    async def test_stop_strings_wait_for_min_tokens(self, model_type: str) -> None:
        rules = {"temperature": 1.0, "seed": 8, "max_tokens": 14, "ignore_eos": True}
        async with running(self.build(model_type)) as engine:
            free = await chunks_of(engine, request(prompt(9), **rules))
            text = whole(free).text
            stop = text[2:4]
            late = await reply(engine, request(prompt(9), **rules, stop=(stop,), min_tokens=14))
            assert late.text == text
            assert late.finish_reason is FinishReason.LENGTH
            early = await reply(engine, request(prompt(9), **rules, stop=(stop,)))
            assert early.text == text[: text.find(stop)]
            assert early.finish_reason is FinishReason.STOP

    async def test_penalties_follow_the_reply(self, model_type: str) -> None:
        """The strongest frequency penalty and bias leave greedy replies without a repeated token."""
        async with running(self.build(model_type)) as engine:
            rules = {"ignore_eos": True, "max_tokens": 20}
            biased = await reply(engine, request(prompt(9), **rules, logit_bias={7: 100.0}))
            assert biased.token_ids == [7] * 20
            level = dict.fromkeys(range(3, VOCAB), 100.0)
            seen = prompt(9)
            # A bias of 100 makes all logits positive, so that the penalty of 100 puts what occurred last.
            found = await reply(engine, request(seen, **rules, logit_bias=level, repetition_penalty=100.0))
            assert len(set(found.token_ids)) == 20
            assert not set(found.token_ids) & set(seen)


def reseeded(wanted: GenerationRequest) -> GenerationRequest:
    return replace(wanted, sampling=replace(wanted.sampling, seed=(wanted.sampling.seed or 0) + 1000))
