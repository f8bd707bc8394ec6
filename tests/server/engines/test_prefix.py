"""Prefix reuse: the tree against a table of whole texts, and the engine with it against the engine without."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from engine_contract import assert_same, contract_bundles, prompt, replies, request, running
from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer

from breakers.bank import BankEntry, Scope
from breakers.interventions import SteeringVector
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.sites import Component, Site
from server.engines.base import GenerationChunk, GenerationRequest, RequestFailedError, SamplingParams
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.engine import EmbeddedEngine
from server.engines.embedded.prefix import KvIdentity, PrefixCache, kv_identity

BLOCK = 4
PLAIN = KvIdentity(strengths=(), end=None)


def values_of(identity: KvIdentity, text: Sequence[int]) -> torch.Tensor:
    """What a model would store: at each position a number that depends on all that is before it."""
    state = hash(identity.strengths) % 97
    out = []
    for token in text:
        state = (31 * state + token + 1) % 1009
        out.append(float(state))
    return torch.tensor(out)


def filled(cache: SlotCache, slot: int, identity: KvIdentity, text: Sequence[int]) -> None:
    values = values_of(identity, text)[None, None, :, None].expand(1, 2, len(text), 3)
    for layer in (0, 1):
        index = cache.flat_index(2, torch.full((len(text),), slot), torch.arange(len(text)))
        cache.write(layer, index, (layer + 1) * values, -(layer + 1) * values[..., :2])


def check(cache: SlotCache, slot: int, identity: KvIdentity, text: Sequence[int]) -> None:
    values = values_of(identity, text)
    for number, factor in enumerate((1.0, 2.0, -1.0, -2.0)):
        stored = cache.tensors[number][slot, :, : len(text)]
        assert torch.equal(stored, (factor * values)[None, :, None].expand_as(stored))


@pytest.fixture
def cache() -> SlotCache:
    return SlotCache(slots=3, max_length=40, device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize("blocks", [1, 3, 40])
def test_what_is_restored_is_what_the_model_would_have_computed(cache: SlotCache, blocks: int) -> None:
    draw = random.Random(blocks)
    prefixes = PrefixCache(cache, blocks=blocks, block=BLOCK)
    known: set[tuple[object, tuple[int, ...]]] = set()
    hits = 0
    for _ in range(400):
        strengths = draw.choice([(), (("heads", 0.5),), (("heads", 1.0),)])
        text = [draw.randrange(2) for _ in range(draw.randrange(1, 20))]
        identity = KvIdentity(strengths=strengths, end=draw.choice([None, draw.randrange(20)]))
        cache.clear(1, 40)
        done = draw.choice([0, 0, min(3, len(text))])
        filled(cache, 1, identity, text[:done])
        end = prefixes.restore(identity, text, 1, done)
        check(cache, 1, identity, text[:end])
        if end > done:
            hits += 1
            assert end % BLOCK == 0
            assert end <= len(text) if identity.end is None else end <= identity.end
            assert (strengths, tuple(text[:end])) in known
        filled(cache, 0, identity, text)
        prefixes.store(identity, text, 0)
        whole = len(text) if identity.end is None else min(identity.end, len(text))
        known |= {(strengths, tuple(text[:n])) for n in range(BLOCK, whole + 1, BLOCK)}
        assert prefixes.tokens <= blocks * BLOCK
    assert hits > 5


def test_a_text_that_was_just_stored_is_found_whole(cache: SlotCache) -> None:
    prefixes = PrefixCache(cache, blocks=4, block=BLOCK)
    for first in range(6):
        text = [first, *range(10, 25)]
        filled(cache, 0, PLAIN, text)
        prefixes.store(PLAIN, text, 0)
        assert prefixes.restore(PLAIN, text, 1, 0) == 16
        check(cache, 1, PLAIN, text)
    assert prefixes.restore(PLAIN, [0, *range(10, 25)], 1, 0) == 0  # made way
    assert prefixes.tokens == 16


def test_what_was_used_longest_ago_makes_way(cache: SlotCache) -> None:
    prefixes = PrefixCache(cache, blocks=3, block=BLOCK)
    old, used, new = ([n] * BLOCK for n in (1, 2, 3))
    shared = [*used, *old]
    for text in (shared, new):
        filled(cache, 0, PLAIN, text)
        prefixes.store(PLAIN, text, 0)
    assert prefixes.restore(PLAIN, used, 1, 0) == BLOCK  # the beginning of `shared` is fresh again, its end is not
    filled(cache, 0, PLAIN, [9] * BLOCK)
    prefixes.store(PLAIN, [9] * BLOCK, 0)
    assert prefixes.restore(PLAIN, shared, 1, 0) == BLOCK
    assert prefixes.restore(PLAIN, new, 1, 0) == BLOCK


def test_a_text_longer_than_the_pool_keeps_its_beginning(cache: SlotCache) -> None:
    prefixes = PrefixCache(cache, blocks=2, block=BLOCK)
    text = list(range(20))
    filled(cache, 0, PLAIN, text)
    prefixes.store(PLAIN, text, 0)
    assert prefixes.restore(PLAIN, text, 1, 0) == 2 * BLOCK
    check(cache, 1, PLAIN, text[: 2 * BLOCK])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_kept(cache: SlotCache, bad: float) -> None:
    prefixes = PrefixCache(cache, blocks=4, block=BLOCK)
    text = list(range(12))
    filled(cache, 0, PLAIN, text)
    cache.tensors[3][0, 1, 5, 0] = bad
    prefixes.store(PLAIN, text, 0)
    assert prefixes.tokens == 0
    assert prefixes.restore(PLAIN, text, 1, 0) == 0
    filled(cache, 0, PLAIN, text)
    prefixes.store(PLAIN, text, 0)
    assert prefixes.restore(PLAIN, text, 1, 0) == 12


def test_common_beginnings_count_in_whole_blocks_under_equal_strengths(cache: SlotCache) -> None:
    prefixes = PrefixCache(cache, blocks=4, block=BLOCK)
    text = list(range(14))
    assert prefixes.common(PLAIN, text, PLAIN, [*range(9), 99, 99, 99]) == 8
    assert prefixes.common(PLAIN, text, PLAIN, text) == 12
    assert prefixes.common(PLAIN, text, PLAIN, [99, *text]) == 0
    assert prefixes.common(KvIdentity(strengths=(), end=7), text, PLAIN, text) == 4
    assert prefixes.common(PLAIN, text, KvIdentity(strengths=(), end=3), text) == 0
    assert prefixes.common(PLAIN, text, KvIdentity(strengths=(("heads", 1.0),), end=None), text) == 0


def steered(bank_version: int, strength: float = 1.0) -> KvIdentity:
    return KvIdentity(strengths=(("heads", strength),), end=None, bank_version=bank_version)


def test_bank_versions_share_only_what_nothing_steered(cache: SlotCache) -> None:
    prefixes = PrefixCache(cache, blocks=20, block=BLOCK)
    for identity in (PLAIN, steered(0)):
        filled(cache, 0, identity, range(8))
        prefixes.store(identity, range(8), 0)
    assert prefixes.restore(steered(1), range(8), 1, 0) == 0
    assert prefixes.restore(steered(0), range(8), 1, 0) == prefixes.restore(PLAIN, range(8), 1, 0) == 8
    assert prefixes.common(steered(0), list(range(8)), steered(1), list(range(8))) == 0


def test_forgetting_a_bank_version_makes_room_of_what_it_steered(cache: SlotCache) -> None:
    prefixes = PrefixCache(cache, blocks=9, block=BLOCK)
    kept = (PLAIN, steered(1), steered(1, 0.5))
    for identity in (*kept, steered(0)):
        filled(cache, 0, identity, range(8))
        prefixes.store(identity, range(8), 0)
    branch = (*range(4), 9, 9, 9, 9)
    filled(cache, 0, steered(0), branch)
    prefixes.store(steered(0), branch, 0)
    assert prefixes.tokens == 9 * BLOCK
    prefixes.forget(0)
    prefixes.forget(0)
    assert prefixes.tokens == 6 * BLOCK
    assert prefixes.restore(steered(0), range(8), 1, 0) == 0
    for identity in kept:
        assert prefixes.restore(identity, range(8), 1, 0) == 8
        check(cache, 1, identity, range(8))
    filled(cache, 0, steered(2), range(12))
    prefixes.store(steered(2), range(12), 0)
    assert prefixes.tokens == 9 * BLOCK


def test_the_identity_of_keys_and_values() -> None:
    scopes = {"a": Scope.ALL, "b": Scope.ALL, "g": Scope.GENERATION}

    def plan(**strengths: float) -> Plan:
        return Plan({n: AppliedStrength(strength=s, reason=Reason.REQUEST) for n, s in strengths.items()})

    assert kv_identity(plan(), scopes, 7) == PLAIN
    assert kv_identity(plan(g=0.0, a=0.0), scopes, 7) == PLAIN
    assert kv_identity(plan(g=0.5), scopes, 7) == KvIdentity(strengths=(), end=7)
    both = KvIdentity(strengths=(("a", 1.0), ("b", 0.5)), end=None, bank_version=0)
    assert kv_identity(plan(b=0.5, a=1.0), scopes, 7) == both
    assert kv_identity(plan(a=1.0), scopes, 7, bank_version=3).bank_version == 3
    assert kv_identity(plan(g=0.5), scopes, 7, bank_version=3) == KvIdentity(strengths=(), end=7)


def engine(
    model_type: str = "llama",
    *,
    tokens: int | None = 512,
    deterministic: bool = False,
    slots: int = 3,
    budget: int = 512,
    extra: Sequence[BankEntry] = (),
) -> EmbeddedEngine:
    return load_embedded_engine(
        EmbeddedEngineConfig(
            model=LoadedModel(model=tiny_model(model_type), tokenizer=tiny_tokenizer(), model_id=model_type),
            bundles=(*contract_bundles(model_type), *extra),
            slots=slots,
            prefill_budget=budget,
            prefix_cache_tokens=tokens,
            deterministic=deterministic,
            deterministic_chunk=16,
            drain_seconds=0.0,
        )
    )


async def ask(engine: EmbeddedEngine, wanted: GenerationRequest) -> list[GenerationChunk]:
    return [chunk async for chunk in engine.generate(wanted)]


async def cached(engine: EmbeddedEngine, wanted: GenerationRequest) -> int:
    return (await ask(engine, wanted))[-1].cached_tokens


SHARED = prompt(70)


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text"])
@pytest.mark.parametrize("deterministic", [False, True])
async def test_replies_are_those_of_an_engine_without_reuse(model_type: str, deterministic: bool) -> None:
    plans = ({}, {"steer": 1.0, "mlp": 0.5}, {"heads": 1.0}, {}, {"heads": 1.0, "steer": 1.0}, {"mask": 0.5})
    wanted = [request((*SHARED, *prompt(3 + i, seed=i)), p, max_tokens=6) for i, p in enumerate(plans)]
    async with running(engine(model_type, tokens=0, deterministic=deterministic)) as without:
        expected = await replies(without, wanted)
    async with running(engine(model_type, deterministic=deterministic)) as reusing:
        for _ in range(2):
            for found, e in zip(await replies(reusing, wanted), expected, strict=True):
                assert_same(found, e, bitwise=deterministic)
                assert found.tokens_steered == e.tokens_steered
        assert await cached(reusing, wanted[0]) == 64


async def test_prompts_share_under_equal_strengths_of_whole_scope_only() -> None:
    async with running(engine()) as reusing:
        assert await cached(reusing, request(SHARED)) == 0
        assert await cached(reusing, request(SHARED)) == 64
        assert await cached(reusing, request(SHARED, {"steer": 1.0})) == 64  # acts from the last prompt token on
        assert await cached(reusing, request(SHARED, {"steer": 1.0}, generation_start=40)) == 32
        assert await cached(reusing, request(SHARED, {"heads": 1.0})) == 0
        assert await cached(reusing, request(SHARED, {"heads": 0.5})) == 0
        assert await cached(reusing, request(SHARED, {"heads": 1.0, "mlp": 1.0})) == 64


async def test_a_steered_reply_is_not_reused_and_a_plain_one_is() -> None:
    async with running(engine()) as reusing:
        first = await ask(reusing, request(SHARED, max_tokens=40))
        turn = (*SHARED, *[t for c in first for t in c.token_ids], *prompt(5))
        length = 32 * ((len(turn) - 6) // 32)
        assert length > 64
        assert await cached(reusing, request(turn)) == length
    async with running(engine()) as reusing:
        first = await ask(reusing, request(SHARED, {"steer": 1.0}, max_tokens=40))
        turn = (*SHARED, *[t for c in first for t in c.token_ids], *prompt(5))
        assert await cached(reusing, request(turn)) == 64


async def test_a_prompt_that_waits_picks_up_what_the_one_before_brought() -> None:
    async with running(engine(budget=24)) as reusing:
        first, *others = await replies(reusing, [request(SHARED)] * 3)
        for other in others:
            assert_same(other, first, bitwise=False)
        # Three steps for the first prompt and one for what is left of the others; nine without reuse.
        assert reusing.stats().steps <= 3 + 1 + len(first.token_ids)


async def test_prompts_that_come_together_are_computed_once() -> None:
    async with running(engine(slots=5)) as reusing:
        wanted = [request((*SHARED, 5 + i), max_tokens=2, seed=i) for i in range(4)]
        ends = await asyncio.gather(*[ask(reusing, r) for r in wanted])
        assert [chunks[-1].cached_tokens for chunks in ends] == [0, 64, 64, 64]
        others = [request(prompt(40, seed=i), max_tokens=2) for i in range(4)]
        ends = await asyncio.gather(*[ask(reusing, r) for r in others])
        assert [chunks[-1].cached_tokens for chunks in ends] == [0] * 4


async def test_a_failed_request_leaves_nothing_behind() -> None:
    broken = SteeringVector(site=Site(layer=0, component=Component.RESID), vector=torch.full((32,), 3e38))
    entry = BankEntry(name="broken", scope=Scope.ALL, interventions=(broken,), strength_max=16.0)
    async with running(engine(extra=(entry,))) as reusing:
        for _ in range(2):
            with pytest.raises(RequestFailedError):
                await ask(reusing, request(SHARED, {"broken": 16.0}))
        fine = await ask(reusing, request(SHARED))
        assert fine[-1].cached_tokens == 0


async def test_a_prompt_that_is_scored_is_computed_anew() -> None:
    scored = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
    async with running(engine()) as reusing:
        before = await ask(reusing, replace(request(SHARED), sampling=scored))
        after = await ask(reusing, replace(request(SHARED), sampling=scored))
    assert after[-1].cached_tokens == 0
    assert len(after[0].prompt_logprobs) == len(before[0].prompt_logprobs) >= len(SHARED) - 1


async def test_reuse_can_be_switched_off() -> None:
    async with running(engine(tokens=0)) as plain:
        await ask(plain, request(SHARED))
        assert await cached(plain, request(SHARED)) == 0
