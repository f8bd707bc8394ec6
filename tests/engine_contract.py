"""The contract suite: what every engine must do, on every architecture. Subclass it and say how to build the engine.

The invariants are DESIGN's: 1 strength 0, 2 batches, 4 reports, 6 agreement with the plain-PyTorch reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import torch
from tiny import TINY_TYPES, VOCAB, tiny_model
from transformers import PreTrainedModel

from breakers.architectures import ModelSites, resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import BreakersError
from breakers.interventions import Breaker, Mask, SteeringVector
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.runtime import TorchRuntime
from breakers.sites import Component, Site
from server.engines.base import (
    Engine,
    EngineOverloadedError,
    EngineUnavailableError,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    RequestFailedError,
    RequestRefusedError,
    SamplingParams,
    UnknownBankError,
)

TOLERANCE = 1e-4
"""Log-probabilities of the same request in other batches or engines, in fp32."""

REPLY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply."""

    token_ids: list[int]
    logprobs: list[float]
    text: str
    finish_reason: FinishReason | None
    tokens_steered: int


def contract_bundles(model_type: str) -> tuple[BankEntry, ...]:
    """Those of the tiny model."""
    return bundles_at(resolve_sites(tiny_model(model_type)))


def bundles_at(sites: ModelSites, *, experts: bool = True) -> tuple[BankEntry, ...]:
    """One bundle of each kind, at head, neuron (where there are any) and residual sites, in both scopes.

    Args:
        sites: of the model.
        experts: whether its routed experts can be reached.
    """
    g = torch.Generator().manual_seed(11)
    width, resid = sites.d_head, sites.d_model

    def breaker(site: Site, d: int) -> Breaker:
        return Breaker(site=site, down=torch.randn(2, d, generator=g) / d**0.5, up=torch.randn(d, 2, generator=g) / 2)

    neurons = (1, 4, 9, 17)
    if sites.d_mlp is not None:
        mlp = [
            breaker(Site(layer=0, component=Component.NEURON, neurons=neurons), len(neurons)),
            Mask(
                site=Site(layer=1, component=Component.NEURON, neurons=neurons),
                keep=torch.tensor([0.0, 1.0, 0.0, 0.5]),
            ),
        ]
    elif not experts:
        mlp = [breaker(Site(layer=0, component=Component.RESID), resid)]
    else:
        everyone = range(sites.experts[0].count)
        routed = [Site(layer=0, component=Component.NEURON, neurons=neurons, expert=e) for e in everyone]
        mlp = [breaker(site, len(neurons)) for site in routed]
        last = Site(layer=1, component=Component.NEURON, neurons=neurons, expert=0)
        mlp.append(Mask(site=last, keep=torch.tensor([0.0, 1.0, 0.0, 0.5])))
    head = Site(layer=1, component=Component.HEAD, head=2)
    return (
        BankEntry(name="heads", scope=Scope.ALL, interventions=(breaker(head, width),), strength_max=2.0),
        BankEntry(name="mlp", scope=Scope.GENERATION, interventions=tuple(mlp)),
        BankEntry(
            name="mask",
            scope=Scope.ALL,
            interventions=(
                Mask(site=Site(layer=0, component=Component.HEAD, head=0), keep=torch.zeros(width)),
                Mask(site=head, keep=torch.linspace(0, 1, width)),
            ),
        ),
        BankEntry(
            name="steer",
            scope=Scope.GENERATION,
            interventions=(
                SteeringVector(
                    site=Site(layer=1, component=Component.RESID), vector=torch.randn(resid, generator=g) * 0.7
                ),
            ),
        ),
    )


PLANS: tuple[dict[str, float], ...] = (
    {},
    {"heads": 2.0},
    {"mlp": 1.0},
    {"mask": 1.0},
    {"steer": 0.75},
    {"heads": 0.5, "mlp": 0.5, "mask": 0.25, "steer": 1.0},
)


def plan(strengths: dict[str, float]) -> Plan:
    return Plan({name: AppliedStrength(strength=s, reason=Reason.REQUEST) for name, s in strengths.items()})


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed * 1000 + length)
    return tuple(torch.randint(3, VOCAB, (length,), generator=generator).tolist())


def request(
    prompt_ids: Sequence[int],
    strengths: dict[str, float] | None = None,
    *,
    max_tokens: int = REPLY,
    temperature: float = 0.0,
    generation_start: int | None = None,
    bank_version: int = 0,
    **sampling: object,
) -> GenerationRequest:
    return GenerationRequest(
        request_id="test",
        prompt_token_ids=tuple(prompt_ids),
        sampling=SamplingParams(max_tokens=max_tokens, temperature=temperature, **sampling),
        plan=plan(strengths or {}),
        generation_start=generation_start,
        bank_version=bank_version,
    )


def other_bundles(model_type: str) -> tuple[BankEntry, ...]:
    """A set that follows `contract_bundles`: one with other values, one as it was, one new, the rest gone."""
    g = torch.Generator().manual_seed(12)
    sites = resolve_sites(tiny_model(model_type))
    d = sites.d_head
    head = Breaker(
        site=Site(layer=1, component=Component.HEAD, head=2),
        down=torch.randn(3, d, generator=g) / d**0.5,
        up=torch.randn(d, 3, generator=g) / 2,
    )
    early = SteeringVector(
        site=Site(layer=0, component=Component.RESID), vector=torch.randn(sites.d_model, generator=g) * 0.7
    )
    steer = next(entry for entry in contract_bundles(model_type) if entry.name == "steer")
    return (
        BankEntry(name="early", scope=Scope.ALL, interventions=(early,)),
        BankEntry(name="heads", scope=Scope.ALL, interventions=(head,), strength_max=2.0),
        steer,
    )


OTHER_PLANS: tuple[dict[str, float], ...] = ({"heads": 2.0}, {}, {"early": 1.0, "steer": 0.75})


def whole(chunks: Sequence[GenerationChunk]) -> Reply:
    return Reply(
        token_ids=[t for c in chunks for t in c.token_ids],
        logprobs=[p for c in chunks for p in c.logprobs],
        text="".join(c.text for c in chunks),
        finish_reason=chunks[-1].finish_reason,
        tokens_steered=chunks[-1].tokens_steered,
    )


async def reply(engine: Engine, wanted: GenerationRequest) -> Reply:
    return whole([chunk async for chunk in engine.generate(wanted)])


async def replies(engine: Engine, wanted: Sequence[GenerationRequest]) -> list[Reply]:
    return list(await asyncio.gather(*[reply(engine, r) for r in wanted]))


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Engine]:
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def assert_same(found: Reply, wanted: Reply, *, bitwise: bool) -> None:
    assert found.token_ids == wanted.token_ids
    assert found.text == wanted.text
    assert found.tokens_steered == wanted.tokens_steered
    if bitwise:
        assert found.logprobs == wanted.logprobs
    else:
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=TOLERANCE)


class Reference:
    """Plain transformers with the plain-PyTorch run time."""

    def __init__(self, model_type: str, bundles: Sequence[BankEntry]) -> None:
        self.model: PreTrainedModel = tiny_model(model_type)
        self._runtime = TorchRuntime(self.model, Bank(resolve_sites(self.model), bundles))

    @torch.no_grad()
    def greedy(self, wanted: GenerationRequest) -> list[int]:
        ids = torch.tensor([wanted.prompt_token_ids])
        with self._runtime.steering(wanted.plan.strengths(), wanted.generation_start):
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=wanted.sampling.max_tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return out[0, ids.shape[1] :].tolist()

    @torch.no_grad()
    def logprobs(self, wanted: GenerationRequest, continuation: Sequence[int]) -> list[float]:
        start = wanted.generation_start
        first = len(wanted.prompt_token_ids) - 1
        ids = torch.tensor([[*wanted.prompt_token_ids, *continuation]])
        with self._runtime.steering(wanted.plan.strengths(), first if start is None else start):
            logits = self.model(ids, use_cache=False).logits[0, first:-1]
        return logits.log_softmax(-1).gather(1, torch.tensor(continuation)[:, None])[:, 0].tolist()


@pytest.mark.parametrize("model_type", TINY_TYPES)
class EngineContract:
    """Subclass as `Test...` and implement `build`."""

    steps_to_hear = 0
    """That an engine may take before it hears that a reply was closed: none where a call is all that it takes."""

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
        """An engine, not started, on `tiny_model(model_type)`."""
        raise NotImplementedError

    async def test_greedy_tokens_and_logprobs_equal_the_reference(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        reference = Reference(model_type, bundles)
        wanted = [request(prompt(5 + 9 * i), p) for i, p in enumerate(PLANS)]
        async with running(self.build(model_type, bundles)) as engine:
            found = await replies(engine, wanted)
        for r, f in zip(wanted, found, strict=True):
            assert f.token_ids == reference.greedy(r)
            assert f.logprobs == pytest.approx(reference.logprobs(r, f.token_ids), abs=TOLERANCE)

    async def test_every_bundle_changes_the_distribution(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        async with running(self.build(model_type, bundles)) as engine:
            off, *on = await replies(engine, [request(prompt(20), p, max_tokens=1) for p in PLANS])
        for steered in on:
            assert abs(steered.logprobs[0] - off.logprobs[0]) > 10 * TOLERANCE or steered.token_ids != off.token_ids

    async def test_strength_0_is_bit_for_bit_the_unmodified_model(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        zero = {entry.name: 0.0 for entry in bundles}
        async with running(self.build(model_type)) as engine:
            plain = await reply(engine, request(prompt(20)))
        async with running(self.build(model_type, bundles)) as engine:
            assert_same(await reply(engine, request(prompt(20), zero)), plain, bitwise=True)

    async def test_strength_0_beside_steered_requests_is_bit_for_bit_the_unmodified_model(
        self, model_type: str
    ) -> None:
        bundles = contract_bundles(model_type)
        async with running(self.build(model_type, deterministic=True)) as engine:
            plain = await replies(engine, [request(prompt(n)) for n in (4, 20, 33)])
        async with running(self.build(model_type, bundles, deterministic=True)) as engine:
            crowd = [request(prompt(7 + i), p) for i, p in enumerate(PLANS[1:])]
            found = await replies(engine, [*crowd[:2], *[request(prompt(n)) for n in (4, 20, 33)], *crowd[2:]])
        for f, p in zip(found[2:5], plain, strict=True):
            assert_same(f, p, bitwise=True)

    @pytest.mark.parametrize("deterministic", [False, True])
    async def test_alone_equals_any_batch(self, model_type: str, deterministic: bool) -> None:
        bundles = contract_bundles(model_type)
        wanted = [
            request(prompt(3 + 7 * i), PLANS[i % len(PLANS)], max_tokens=4 + i, temperature=i % 2, seed=i)
            for i in range(8)
        ]
        async with running(self.build(model_type, bundles, deterministic=deterministic, slots=5)) as engine:
            together = await replies(engine, wanted)
            backwards = await replies(engine, wanted[::-1])
            alone = [await reply(engine, r) for r in wanted]
        for t, b, a in zip(together, backwards[::-1], alone, strict=True):
            assert_same(t, a, bitwise=deterministic)
            assert_same(b, a, bitwise=deterministic)

    @pytest.mark.parametrize("deterministic", [False, True])
    async def test_chunked_prefill_equals_whole_prefill(self, model_type: str, deterministic: bool) -> None:
        bundles = contract_bundles(model_type)
        wanted = [request(prompt(50), PLANS[-1]), request(prompt(23), PLANS[1]), request(prompt(1), PLANS[2])]
        found = []
        for budget in (512, 7):
            engine = self.build(model_type, bundles, deterministic=deterministic, prefill_budget=budget)
            async with running(engine):
                found.append(await replies(engine, wanted))
        for a, b in zip(*found, strict=True):
            assert_same(a, b, bitwise=deterministic)

    async def test_slots_are_reused_and_compacted(self, model_type: str) -> None:
        """More requests than slots, ending in an order that leaves gaps everywhere."""
        bundles = contract_bundles(model_type)
        wanted = [
            request(prompt(2 + (11 * i) % 31), PLANS[i % len(PLANS)], max_tokens=1 + (5 * i) % 13) for i in range(14)
        ]
        reference = Reference(model_type, bundles)
        async with running(self.build(model_type, bundles, slots=4)) as engine:
            found = await replies(engine, wanted)
            assert engine.stats().running == engine.stats().waiting == 0
        for r, f in zip(wanted, found, strict=True):
            assert f.token_ids == reference.greedy(r)

    async def test_reports_count_the_steered_tokens(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        n = 12
        cases = [
            (request(prompt(n)), 0),
            (request(prompt(n), {"heads": 0.0, "steer": 0.0}), 0),
            (request(prompt(n), {"mask": 1.0}), n + REPLY - 1),
            (request(prompt(n), {"steer": 1.0}), REPLY),
            (request(prompt(n), {"steer": 1.0}, generation_start=4), n - 4 + REPLY - 1),
            (request(prompt(n), {"steer": 1.0, "mask": 0.5}), n + REPLY - 1),
        ]
        async with running(self.build(model_type, bundles, prefill_budget=5)) as engine:
            found = await replies(engine, [r for r, _ in cases])
        for f, (_, most) in zip(found, cases, strict=True):
            # A reply that ended early has steered fewer tokens.
            assert f.tokens_steered == max(0, most - (REPLY - len(f.token_ids)) if most else 0)

    async def test_generation_start_is_honoured(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        reference = Reference(model_type, bundles)
        wanted = [request(prompt(25), {"steer": 1.0, "mlp": 1.0}, generation_start=s) for s in (0, 10, 24)]
        async with running(self.build(model_type, bundles)) as engine:
            found = await replies(engine, wanted)
        for r, f in zip(wanted, found, strict=True):
            assert f.logprobs == pytest.approx(reference.logprobs(r, f.token_ids), abs=TOLERANCE)
        assert found[0].logprobs[0] != pytest.approx(found[2].logprobs[0], abs=TOLERANCE)

    async def test_a_plan_that_cannot_be_applied_is_refused(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        async with running(self.build(model_type, bundles)) as engine:
            with pytest.raises(RequestRefusedError, match="'unheard_of' is not loaded; loaded: heads, mlp"):
                await reply(engine, request(prompt(5), {"unheard_of": 1.0}))
            with pytest.raises(RequestRefusedError, match=r"'mask' is 1\.5; wanted a number in \[0, 1"):
                await reply(engine, request(prompt(5), {"mask": 1.5}))
        async with running(self.build(model_type)) as engine:
            with pytest.raises(RequestRefusedError, match="loaded: none"):
                await reply(engine, request(prompt(5), {"mask": 1.0}))

    async def test_bad_requests_are_refused_and_the_rest_goes_on(self, model_type: str) -> None:
        async with running(self.build(model_type)) as engine:
            length = engine.info.max_model_len
            bad = [
                (request(prompt(length)), f"the prompt has {length} tokens; wanted 1 to {length - 1}"),
                (request(()), "the prompt has 0 tokens"),
                (request((5, VOCAB)), "token ids outside"),
                (request((5, -1)), "token ids outside"),
                (request(prompt(5), max_tokens=0), "max_tokens is 0"),
                (request(prompt(5), temperature=-1.0), "temperature is -1"),
                (request(prompt(5), temperature=float("nan")), "temperature is nan"),
                (request(prompt(5), top_p=0.0), "top_p is 0"),
                (request(prompt(5), top_k=-2), "top_k is -2"),
                (request(prompt(5), stop=("",)), "stop string is empty"),
                (request(prompt(5), generation_start=5), "generation_start is 5; wanted 0 to 4"),
            ]
            going = asyncio.create_task(reply(engine, request(prompt(5), max_tokens=40)))
            for refused, message in bad:
                with pytest.raises(RequestRefusedError, match=message):
                    await reply(engine, refused)
            assert (await going).finish_reason is not None
            assert engine.healthy

    async def test_a_reply_ends_where_the_context_does(self, model_type: str) -> None:
        async with running(self.build(model_type)) as engine:
            room = 3
            ids = prompt(engine.info.max_model_len - room)
            found = await reply(engine, request(ids, max_tokens=50))
        assert found.token_ids == Reference(model_type, ()).greedy(request(ids, max_tokens=room))
        assert found.finish_reason is FinishReason.LENGTH or found.token_ids[-1] == 2

    async def test_seeds_repeat_and_differ(self, model_type: str) -> None:
        async with running(self.build(model_type)) as engine:
            seeds = (1, 1, 2, -5, 2**70)
            found = await replies(engine, [request(prompt(9), temperature=1.5, seed=s, max_tokens=12) for s in seeds])
        assert found[0].token_ids == found[1].token_ids
        assert len({tuple(f.token_ids) for f in found}) == 4

    async def test_closing_a_reply_frees_its_slot_within_one_step(self, model_type: str) -> None:
        async with running(self.build(model_type, slots=1)) as engine:
            chunks = engine.generate(request(prompt(5), temperature=1.0, seed=3, max_tokens=100))
            await anext(chunks)
            assert engine.stats().running == 1
            await chunks.aclose()
            steps = engine.stats().steps
            while engine.stats().running:
                await asyncio.sleep(0.001)
            assert engine.stats().steps <= steps + 1 + self.steps_to_hear
            assert (await reply(engine, request(prompt(6)))).finish_reason is not None

    async def test_cancelling_waiting_and_running_tasks(self, model_type: str) -> None:
        async with running(self.build(model_type, slots=1)) as engine:
            tasks = [
                asyncio.create_task(reply(engine, request(prompt(5), temperature=1.0, seed=4, max_tokens=100)))
                for _ in range(3)
            ]
            while engine.stats().running == 0 or engine.stats().waiting < 2:
                await asyncio.sleep(0.001)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert engine.stats().waiting == 0
            assert (await reply(engine, request(prompt(6)))).finish_reason is not None

    async def test_a_full_queue_refuses(self, model_type: str) -> None:
        async with running(self.build(model_type, slots=1, queue_size=1)) as engine:
            busy = [engine.generate(request(prompt(5), temperature=1.0, seed=5, max_tokens=110)) for _ in range(2)]
            await anext(busy[0])
            waiting = asyncio.create_task(anext(busy[1]))
            while engine.stats().waiting == 0:
                await asyncio.sleep(0.001)
            with pytest.raises(EngineOverloadedError, match="1 requests run and 1 wait; the engine takes 2"):
                await reply(engine, request(prompt(5)))
            await busy[0].aclose()
            await waiting
            await busy[1].aclose()
            assert (await reply(engine, request(prompt(5)))).finish_reason is not None

    async def test_stop_strings_end_a_reply_and_are_never_shown(self, model_type: str) -> None:
        async with running(self.build(model_type)) as engine:
            free = await reply(engine, request(prompt(9), temperature=1.0, seed=8, max_tokens=14))
            assert len(free.text) > 8
            stop = free.text[4:7]
            chunks = [
                c
                async for c in engine.generate(
                    request(prompt(9), temperature=1.0, seed=8, max_tokens=14, stop=("never this", stop))
                )
            ]
        found = whole(chunks)
        assert found.text == free.text[: free.text.find(stop)]
        assert found.finish_reason is FinishReason.STOP
        assert len(found.token_ids) < len(free.token_ids)

    @pytest.mark.parametrize("deterministic", [False, True])
    async def test_requests_in_flight_keep_the_bundles_they_began_with(
        self, model_type: str, deterministic: bool
    ) -> None:
        """Old and new in one batch, greedy and sampled: each as if it were alone, before, during and after."""
        old = [request(prompt(5 + 9 * i), PLANS[i], max_tokens=24, temperature=i % 2, seed=i) for i in (1, 2, 3, 5)]
        async with running(
            self.build(model_type, contract_bundles(model_type), deterministic=deterministic)
        ) as engine:
            old_alone = [await reply(engine, r) for r in old]
            going = [asyncio.create_task(reply(engine, r)) for r in old]
            while engine.stats().running < 3:
                await asyncio.sleep(0.001)
            version = await engine.load_bundles(other_bundles(model_type))
            new = [
                request(prompt(3 + 7 * i), p, max_tokens=9 + i, temperature=i % 2, seed=i, bank_version=version)
                for i, p in enumerate(OTHER_PLANS)
            ]
            mixed = await replies(engine, [*new, *old])
            assert version != 0
            found = [await task for task in going]
            new_alone = [await reply(engine, r) for r in new]
        for f, w in zip([*found, *mixed], [*old_alone, *new_alone, *old_alone], strict=True):
            assert_same(f, w, bitwise=deterministic)
        reference = Reference(model_type, other_bundles(model_type))
        for r, f in zip(new, new_alone, strict=True):
            assert f.logprobs == pytest.approx(reference.logprobs(r, f.token_ids), abs=TOLERANCE)

    async def test_a_retired_version_serves_what_was_accepted_and_nothing_else(self, model_type: str) -> None:
        wanted = request(prompt(9), {"heads": 2.0, "mlp": 0.5}, max_tokens=30, temperature=1.0, seed=3)
        async with running(self.build(model_type, contract_bundles(model_type), slots=1)) as engine:
            alone = await reply(engine, wanted)
            going = [asyncio.create_task(reply(engine, wanted)) for _ in range(2)]
            while engine.stats().waiting == 0:
                await asyncio.sleep(0.001)
            version = await engine.load_bundles(other_bundles(model_type))
            await engine.retire_bundles(0)
            with pytest.raises(RequestFailedError, match=f"bank version 0, which is not loaded; loaded: {version}"):
                await reply(engine, wanted)
            for task in going:
                assert_same(await task, alone, bitwise=False)
            with pytest.raises(UnknownBankError, match="bank version 0 is not loaded"):
                await engine.retire_bundles(0)
            fresh = await reply(engine, request(prompt(9), {"early": 1.0}, bank_version=version))
            assert fresh.finish_reason is not None

    async def test_a_plan_is_checked_against_its_own_version(self, model_type: str) -> None:
        async with running(self.build(model_type, contract_bundles(model_type))) as engine:
            version = await engine.load_bundles(())
            with pytest.raises(RequestRefusedError, match="'heads' is not loaded; loaded: none"):
                await reply(engine, request(prompt(5), {"heads": 1.0}, bank_version=version))
            with pytest.raises(RequestFailedError, match="bank version 99, which is not loaded"):
                await reply(engine, request(prompt(5), bank_version=99))
            assert (await reply(engine, request(prompt(5), bank_version=version))).finish_reason is not None

    async def test_bundles_that_do_not_fit_change_nothing(self, model_type: str) -> None:
        wrong = Mask(site=Site(layer=7, component=Component.HEAD, head=0), keep=torch.zeros(8))
        wanted = request(prompt(9), {"heads": 2.0})
        engine = self.build(model_type, contract_bundles(model_type))
        with pytest.raises(EngineUnavailableError):
            await engine.load_bundles(())
        async with running(engine):
            before = await reply(engine, wanted)
            with pytest.raises(BreakersError, match="this model has layers"):
                await engine.load_bundles([BankEntry(name="wrong", scope=Scope.ALL, interventions=(wrong,))])
            assert_same(await reply(engine, wanted), before, bitwise=False)
