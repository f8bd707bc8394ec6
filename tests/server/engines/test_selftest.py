"""Sabotage: each thing that the self-test is there for fails exactly its own check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
import torch
from architecture_bundles import linear_entries, residual_entry
from engine_contract import contract_bundles, prompt, reply, request, running
from selftest_contract import canaries_for
from tiny import ALL_TYPES, tiny_model
from tiny_tokenizer import tiny_tokenizer
from torch import nn

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, HookBank, HookStrengths, Scope
from breakers.interventions import Breaker
from breakers.sites import Component, Site
from server.engines.base import EngineOverloadedError, GenerationChunk, RequestFailedError
from server.engines.checks import BATCH, PREFIX, STRENGTH_0, failing
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.engines.embedded import sequence as sequence_module
from server.engines.embedded.engine import EmbeddedEngine
from server.engines.embedded.executor import Executor
from server.engines.embedded.hooks import unhooked
from server.engines.embedded.prefix import KvIdentity

TYPE = "llama"


def build(bundles: Sequence[BankEntry], model_type: str = TYPE, **settings: object) -> EmbeddedEngine:
    loaded = LoadedModel(model=tiny_model(model_type), tokenizer=tiny_tokenizer(), model_id=model_type)
    defaults: dict[str, object] = {"slots": 5, "drain_seconds": 0.0}
    return load_embedded_engine(
        EmbeddedEngineConfig(model=loaded, bundles=tuple(bundles), **(defaults | settings))  # type: ignore[arg-type]
    )


async def failures(engine: EmbeddedEngine, bundles: Sequence[BankEntry], model_type: str = TYPE) -> list[str]:
    async with running(engine):
        return [result.name for result in failing(await engine.selftest(canaries_for(model_type, bundles)))]


@pytest.mark.parametrize(
    "model_type", [t if t in ("gpt2", "mixtral") else pytest.param(t, marks=pytest.mark.slow) for t in ALL_TYPES]
)
async def test_every_architecture_passes(model_type: str) -> None:
    sites = resolve_sites(tiny_model(model_type))
    bundles = [*linear_entries(sites), residual_entry(sites)]
    assert await failures(build(bundles, model_type), bundles, model_type) == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
async def test_half_precision_passes(dtype: str) -> None:
    bundles = contract_bundles(TYPE)
    assert await failures(build(bundles, dtype=dtype), bundles) == []


async def test_a_hook_that_was_left_on_the_model() -> None:
    bundles = contract_bundles(TYPE)
    engine = build(bundles)
    model = engine._loop._executor.model
    # So little that canaries still hold: only bit for bit finds it.
    model.model.layers[0].mlp.register_forward_hook(lambda _module, _args, output: output * (1 + 1e-5))
    assert await failures(engine, bundles) == [STRENGTH_0]


async def test_a_bank_that_edits_rows_of_strength_0(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = contract_bundles(TYPE)

    def leaking(self: HookBank, z: torch.Tensor, strengths: HookStrengths) -> torch.Tensor:
        edited = apply(self, z, strengths)
        return torch.where(strengths.touched, edited, edited * (1 + 1e-5))

    apply = HookBank.apply
    monkeypatch.setattr(HookBank, "apply", leaking)
    assert await failures(build(bundles), bundles) == [STRENGTH_0]


async def test_a_bundle_at_half_its_strength() -> None:
    bundles = contract_bundles(TYPE)
    steer = next(entry for entry in bundles if entry.name == "steer")
    halved = replace(steer, interventions=tuple(replace(v, vector=v.vector / 2) for v in steer.interventions))
    loaded = [halved if entry is steer else entry for entry in bundles]
    async with running(build(loaded)) as engine:
        results = await engine.selftest(canaries_for(TYPE, bundles))
    assert [result.name for result in failing(results)] == ["canary:steer"]


async def test_noise_in_batching(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = contract_bundles(TYPE)

    def noisy(self: Executor, batch: object, strengths: object) -> torch.Tensor:
        logits = forward(self, batch, strengths)
        # More rows than the other checks ever have at once.
        logits[:, 0] += 0.1 * (batch.decode_rows > 2)
        return logits

    forward = Executor.forward
    monkeypatch.setattr(Executor, "forward", noisy)
    assert await failures(build(bundles), bundles) == [BATCH]


async def test_one_bit_of_noise_in_deterministic_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = contract_bundles(TYPE)

    def noisy(self: Executor, batch: object, strengths: object) -> torch.Tensor:
        logits = forward(self, batch, strengths)
        return logits * (1 + 2e-7 * (batch.decode_rows > 2))

    forward = Executor.forward
    engine = build(bundles, deterministic=True, deterministic_chunk=16)
    # After the engine has found that it may put rows together.
    monkeypatch.setattr(Executor, "forward", noisy)
    assert await failures(engine, bundles) == [BATCH]


@pytest.mark.parametrize("rank", [5, 7, 9])
async def test_deterministic_mode_with_any_number_of_rows(rank: int) -> None:
    random = torch.Generator().manual_seed(rank)
    d = tiny_model(TYPE).config.head_dim
    breakers = [
        Breaker(
            site=Site(layer=layer, component=Component.HEAD, head=0),
            down=torch.randn(rank, d, generator=random),
            up=torch.randn(d, rank, generator=random) / d,
        )
        for layer in (0, 1)
    ]
    bundles = [BankEntry(name="ranks", scope=Scope.ALL, interventions=tuple(breakers), strength_max=1.0)]
    assert await failures(build(bundles, deterministic=True, slots=16), bundles) == []


@pytest.mark.parametrize("deterministic", [False, True])
async def test_a_prefix_cache_that_forgets_strengths(monkeypatch: pytest.MonkeyPatch, deterministic: bool) -> None:
    bundles = contract_bundles(TYPE)
    monkeypatch.setattr(sequence_module, "kv_identity", lambda *_: KvIdentity(strengths=(), end=None))
    assert await failures(build(bundles, deterministic=deterministic), bundles) == [PREFIX]


async def test_a_prefix_cache_that_shares_what_generation_bundles_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    """They act from within the prompt on here, so that whole blocks are at stake."""
    bundles = [replace(entry, scope=Scope.ALL) for entry in contract_bundles(TYPE) if entry.name == "steer"]
    monkeypatch.setattr(
        sequence_module, "kv_identity", lambda _plan, _scopes, start, _bank: KvIdentity(strengths=(), end=start)
    )
    assert await failures(build(bundles), bundles) == [PREFIX]


async def test_without_a_prefix_cache_nothing_is_shared() -> None:
    bundles = contract_bundles(TYPE)
    async with running(build(bundles, prefix_cache_tokens=0)) as engine:
        prefix = (await engine.selftest(()))[-1]
    assert (prefix.name, prefix.ok, prefix.detail) == (PREFIX, True, "there is no prefix cache")


async def test_a_full_queue_is_waited_for() -> None:
    bundles = contract_bundles(TYPE)
    async with running(build(bundles, slots=2, queue_size=0)) as engine:
        busy = [engine.generate(request(prompt(5), max_tokens=40, ignore_eos=True)) for _ in range(2)]
        for chunks in busy:
            await anext(chunks)
        with pytest.raises(EngineOverloadedError):
            await reply(engine, request(prompt(5)))

        async def read(chunks: AsyncGenerator[GenerationChunk, None]) -> int:
            return len([chunk async for chunk in chunks])

        canaries = canaries_for(TYPE, bundles)
        results, *lengths = await asyncio.gather(engine.selftest(canaries), *map(read, busy))
    assert failing(results) == ()
    assert lengths == [39, 39]


@pytest.mark.parametrize("max_model_len", [5, 16, 70])
async def test_short_contexts_are_tested_as_far_as_they_go(max_model_len: int) -> None:
    bundles = contract_bundles(TYPE)
    assert await failures(build(bundles, max_model_len=max_model_len), bundles) == []


async def test_a_model_that_fails_proves_nothing_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = contract_bundles(TYPE)
    engine = build(bundles)
    forward = Executor.forward
    monkeypatch.setattr(Executor, "forward", _broken)
    names = [STRENGTH_0, *(f"canary:{entry.name}" for entry in bundles), BATCH, PREFIX]
    async with running(engine):
        results = await engine.selftest(canaries_for(TYPE, bundles))
        assert [result.name for result in failing(results)] == names
        assert all("broken on purpose" in result.detail for result in results)
        with pytest.raises(RequestFailedError):
            await reply(engine, request(prompt(5)))
        monkeypatch.setattr(Executor, "forward", forward)
        assert failing(await engine.selftest(canaries_for(TYPE, bundles))) == ()


def test_hooks_are_back_after_they_were_away() -> None:
    layer = nn.Linear(2, 2)
    seen: list[str] = []
    handles = [
        layer.register_forward_pre_hook(lambda _module, _args: seen.append("before")),
        layer.register_forward_hook(lambda _module, _args, _output: seen.append("after")),
    ]
    with unhooked(layer):
        layer(torch.zeros(2))
    assert seen == []
    layer(torch.zeros(2))
    assert seen == ["before", "after"]
    for handle in handles:
        handle.remove()
    layer(torch.zeros(2))
    assert seen == ["before", "after"]


def _broken(self: Executor, batch: object, strengths: object) -> torch.Tensor:
    raise ValueError("broken on purpose")
