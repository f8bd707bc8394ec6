"""Versions of the bank in the embedded engine: what they share, what they cost, and that they go."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Callable, Sequence

import pytest
import torch
from engine_contract import (
    PLANS,
    assert_same,
    contract_bundles,
    other_bundles,
    prompt,
    replies,
    reply,
    request,
    running,
)
from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer
from torch.utils.hooks import RemovableHandle

from breakers.bank import Bank, BankEntry, HookStrengths
from breakers.errors import RuntimeAttachError
from breakers.runtime import TorchRuntime
from breakers.sites import HookPoint
from server.engines.base import GenerationRequest, RequestFailedError
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.engines.embedded.banks import Packing
from server.engines.embedded.engine import EmbeddedEngine

BUNDLES = contract_bundles("llama")
OTHERS = other_bundles("llama")


def build(
    *,
    deterministic: bool = False,
    slots: int = 4,
    bundles: Sequence[BankEntry] = BUNDLES,
    model_type: str = "llama",
    prefix_cache_tokens: int | None = None,
) -> EmbeddedEngine:
    return load_embedded_engine(
        EmbeddedEngineConfig(
            model=LoadedModel(model=tiny_model(model_type), tokenizer=tiny_tokenizer(), model_id=model_type),
            bundles=tuple(bundles),
            deterministic=deterministic,
            deterministic_chunk=16,
            slots=slots,
            prefix_cache_tokens=prefix_cache_tokens,
            drain_seconds=0.0,
        )
    )


def bank_of(engine: EmbeddedEngine, version: int) -> weakref.ref[Bank]:
    return weakref.ref(engine._banks.of_request(version).bank)


async def gone(bank: weakref.ref[Bank]) -> None:
    """Wait until nothing holds a bank; a leak is a test that never ends, so the number of turns is bounded."""
    for _ in range(500):
        gc.collect()
        if bank() is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the bank is still held by {gc.get_referrers(bank())}")


def hooks(engine: EmbeddedEngine) -> int:
    modules = engine._loop._executor.model.modules()
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


@pytest.mark.parametrize("model_type", ["llama", "mixtral"])
async def test_a_retired_version_is_freed_with_its_last_request(model_type: str) -> None:
    engine = build(model_type=model_type, bundles=contract_bundles(model_type))
    async with running(engine):
        first = bank_of(engine, 0)
        chunks = engine.generate(request(prompt(5), PLANS[5], temperature=1.0, seed=1, max_tokens=110))
        await anext(chunks)
        version = await engine.load_bundles(other_bundles(model_type))
        await engine.retire_bundles(0)
        await anext(chunks)
        gc.collect()
        assert first() is not None
        await chunks.aclose()
        del chunks
        await gone(first)
        second = bank_of(engine, version)
        assert (await reply(engine, request(prompt(5), {"early": 1.0}, bank_version=version))).tokens_steered
        await engine.retire_bundles(version)
        await gone(second)
        while hooks(engine):
            await asyncio.sleep(0.001)


async def test_a_retired_version_that_only_waits_is_freed_when_it_is_cancelled() -> None:
    engine = build(slots=1)
    async with running(engine):
        version = await engine.load_bundles(OTHERS)
        bank = bank_of(engine, version)
        busy = engine.generate(request(prompt(5), temperature=1.0, seed=1, max_tokens=110))
        await anext(busy)
        waits = asyncio.create_task(reply(engine, request(prompt(6), {"early": 1.0}, bank_version=version)))
        while not engine.stats().waiting:
            await asyncio.sleep(0.001)
        await engine.retire_bundles(version)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        del waits
        await gone(bank)
        await busy.aclose()


async def test_a_cancelled_load_leaves_no_version_behind() -> None:
    engine = build()
    async with running(engine):
        for turns in range(6):
            loading = asyncio.create_task(engine.load_bundles(OTHERS))
            for _ in range(turns):
                await asyncio.sleep(0)
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
        assert (await reply(engine, request(prompt(5)))).finish_reason is not None
        await asyncio.sleep(0.2)
        version = await engine.load_bundles(OTHERS)
        assert set(engine._banks._by_version) == {0, version}


@pytest.mark.parametrize("deterministic", [False, True])
async def test_swaps_under_load_change_no_result(deterministic: bool) -> None:
    """A queue longer than the slots, requests that go away, and a swap every few replies."""
    draw = random.Random(7)
    plans = {
        0: ({}, {"heads": 2.0}, {"mask": 0.5, "mlp": 1.0}),
        1: ({}, {"early": 1.0}, {"heads": 0.5, "steer": 1.0}),
    }

    def ask(bundle_set: int, number: int, version: int) -> GenerationRequest:
        plan = plans[bundle_set][number % 3]
        shared = prompt(40) if number % 2 else ()
        return request(
            (*shared, *prompt(2 + number % 7)),
            plan,
            max_tokens=3 + number % 9,
            temperature=number % 2,
            seed=number,
            bank_version=version,
        )

    engine = build(deterministic=deterministic, slots=3)
    async with running(engine):
        alone = {}
        other = await engine.load_bundles(OTHERS)
        for bundle_set, version in ((0, 0), (1, other)):
            for number in range(18):
                alone[bundle_set, number] = await reply(engine, ask(bundle_set, number, version))
        await engine.retire_bundles(other)
        bundle_set, version = 0, 0
        tasks, quitters = [], []
        for turn in range(60):
            number = draw.randrange(18)
            tasks.append((bundle_set, number, asyncio.create_task(reply(engine, ask(bundle_set, number, version)))))
            if turn % 5 == 0:
                quitters.append(asyncio.create_task(reply(engine, ask(bundle_set, number, version))))
            if turn % 7 == 6:
                old, bundle_set = version, 1 - bundle_set
                version = await engine.load_bundles(OTHERS if bundle_set else BUNDLES)
                await engine.retire_bundles(old)
                for task in quitters:
                    task.cancel()
        for bundle_set, number, task in tasks:
            assert_same(await task, alone[bundle_set, number], bitwise=deterministic)
        await asyncio.gather(*quitters, return_exceptions=True)
        while engine.stats().running:
            await asyncio.sleep(0.001)
        assert not engine._banks.of_request(version).table._values.any()


async def test_steered_prefixes_are_a_versions_own_and_plain_ones_are_everyones() -> None:
    shared = prompt(70)

    async def cached(strengths: dict[str, float], version: int) -> int:
        wanted = request(shared, strengths, max_tokens=1, bank_version=version)
        return [chunk async for chunk in engine.generate(wanted)][-1].cached_tokens

    engine = build(prefix_cache_tokens=1024)
    async with running(engine):
        assert await cached({}, 0) == await cached({"heads": 1.0}, 0) == 0
        version = await engine.load_bundles(BUNDLES)
        assert await cached({"heads": 1.0}, version) == 0
        assert await cached({"heads": 1.0}, version) == await cached({"heads": 1.0}, 0) == 64
        assert await cached({}, version) == await cached({"steer": 1.0}, version) == 64
        prefixes = engine._loop._scheduler._prefixes
        assert prefixes is not None
        before = prefixes.tokens
        await engine.retire_bundles(0)
        assert prefixes.tokens < before
        assert await cached({"heads": 1.0}, version) == 64


async def test_each_version_has_the_packing_that_its_bits_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = build(deterministic=True)
    async with running(engine):
        monkeypatch.setattr("server.engines.embedded.swapping.rows_are_independent", lambda *_, **__: False)
        version = await engine.load_bundles(OTHERS)
        assert engine._banks.of_request(0).packing is Packing.PADDED
        assert engine._banks.of_request(version).packing is Packing.APART
        wanted = [request(prompt(n), {"heads": 1.0}, bank_version=v) for n in (4, 9) for v in (0, version)]
        alone = [await reply(engine, r) for r in wanted]
        for found, expected in zip(await replies(engine, wanted), alone, strict=True):
            assert_same(found, expected, bitwise=True)


async def test_a_registration_in_deterministic_mode_leaves_running_requests_alone() -> None:
    """Its check runs forwards between two steps: in a cache of its own."""
    wanted = request(prompt(20), PLANS[5], max_tokens=60, temperature=1.0, seed=5)
    engine = build(deterministic=True)
    async with running(engine):
        alone = await reply(engine, wanted)
        going = asyncio.create_task(reply(engine, wanted))
        while not engine.stats().running:
            await asyncio.sleep(0.001)
        for _ in range(3):
            await engine.load_bundles(OTHERS)
        assert_same(await going, alone, bitwise=True)


async def test_a_bank_that_cannot_be_attached_is_refused_and_the_old_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = request(prompt(9), {"heads": 1.0}, max_tokens=40)
    engine = build()
    async with running(engine):
        alone = await reply(engine, wanted)
        going = asyncio.create_task(reply(engine, wanted))
        install, new = TorchRuntime._install, {entry.name for entry in OTHERS}

        def refuse(runtime: TorchRuntime, point: HookPoint) -> RemovableHandle:
            if set(runtime.bank.names) == new:
                raise RuntimeAttachError("no hook today")
            return install(runtime, point)

        with monkeypatch.context() as patched:
            patched.setattr(TorchRuntime, "_install", refuse)
            with pytest.raises(RuntimeAttachError, match="no hook today"):
                await engine.load_bundles(OTHERS)
        assert_same(await going, alone, bitwise=False)
        assert_same(await reply(engine, wanted), alone, bitwise=False)
        assert set(engine._banks._by_version) == {0}


def raises(_z: torch.Tensor) -> torch.Tensor:
    raise ZeroDivisionError("in a hook")


def poisons(z: torch.Tensor) -> torch.Tensor:
    return z * float("nan")


@pytest.mark.parametrize(
    ("fault", "message"), [(raises, "ZeroDivisionError: in a hook"), (poisons, "logits that are not finite")]
)
async def test_a_fault_inside_a_hook_fails_the_requests_that_use_it_and_no_other(
    fault: Callable[[torch.Tensor], torch.Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [request(prompt(7), {"heads": 2.0}, max_tokens=30), request(prompt(12), {}, max_tokens=30)]
    async with running(build()) as engine:
        alone = await replies(engine, good)
        going = [asyncio.create_task(reply(engine, r)) for r in good]
        version = await engine.load_bundles(OTHERS)
        faulty, edit = engine._banks.of_request(version).runtime, TorchRuntime.edit

        def edited(
            runtime: TorchRuntime, point: HookPoint, z: torch.Tensor, strengths: HookStrengths
        ) -> torch.Tensor:
            return fault(z) if runtime is faulty else edit(runtime, point, z, strengths)

        monkeypatch.setattr(TorchRuntime, "edit", edited)
        for _ in range(2):
            with pytest.raises(RequestFailedError, match=message):
                await reply(engine, request(prompt(9), {"heads": 1.0}, bank_version=version))
        for task, expected in zip(going, alone, strict=True):
            assert_same(await task, expected, bitwise=False)
        assert engine.healthy
        plain = await reply(engine, request(prompt(12), {}, max_tokens=30, bank_version=version))
        assert_same(plain, alone[1], bitwise=False)
