"""What goes wrong for one request stays with that request; what goes wrong with the engine reaches everyone."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch
from engine_contract import REPLY, Reference, assert_same, contract_bundles, prompt, replies, reply, request, running
from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer
from torch import nn
from transformers import PreTrainedModel

from server.engines.base import EngineUnavailableError, RequestFailedError
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.engines.embedded.engine import EmbeddedEngine

RAISES, POISONS = 95, 94
"""Tokens that nobody meets by accident: one makes the model raise, one makes it give NaN."""


def trip(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
    if bool((args[0] == RAISES).any()):
        raise ArithmeticError("tripped")


def poison(_module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    return output.masked_fill((args[0] == POISONS)[..., None], float("nan"))


def poison_last_layer(model: PreTrainedModel) -> None:
    """NaN where the poison is, after all attention: no other token sees it."""
    seen: list[torch.Tensor] = []

    def read(_module: nn.Module, args: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        seen[:] = [args[0] == POISONS]

    def spoil(_module: nn.Module, _args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill(seen[0][..., None], float("nan"))

    model.get_input_embeddings().register_forward_hook(read)
    model.model.layers[-1].register_forward_hook(spoil)


def never_say_culprits(model: PreTrainedModel) -> None:
    """Greedy replies avoid the two: a logit of 0 is never the best of a hundred random ones."""
    with torch.no_grad():
        model.lm_head.weight[[RAISES, POISONS]] = 0


def build(
    *,
    faulty: bool = True,
    deterministic: bool = False,
    model_type: str = "llama",
    slots: int = 4,
    drain_seconds: float = 0.0,
    bundles: bool = True,
    prefill_budget: int = 512,
) -> EmbeddedEngine:
    model = tiny_model(model_type)
    never_say_culprits(model)
    engine = load_embedded_engine(
        EmbeddedEngineConfig(
            model=LoadedModel(model=model, tokenizer=tiny_tokenizer(), model_id=model_type),
            bundles=contract_bundles(model_type) if bundles else (),
            deterministic=deterministic,
            deterministic_chunk=16,
            slots=slots,
            drain_seconds=drain_seconds,
            prefill_budget=prefill_budget,
        )
    )
    if faulty:
        model.get_input_embeddings().register_forward_pre_hook(trip)
        model.get_input_embeddings().register_forward_hook(poison)
    return engine


def clean(length: int) -> tuple[int, ...]:
    return tuple(min(token, POISONS - 1) for token in prompt(length))


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(
    ("culprit", "message"), [(RAISES, "ArithmeticError: tripped"), (POISONS, "logits that are not finite")]
)
async def test_only_the_culprit_fails(culprit: int, message: str, deterministic: bool) -> None:
    good = [request(clean(n), p) for n, p in ((6, {"heads": 1.0}), (20, {}), (31, {"mask": 1.0, "steer": 0.5}))]
    async with running(build(faulty=False, deterministic=deterministic)) as engine:
        wanted = await replies(engine, good)
    async with running(build(deterministic=deterministic)) as engine:
        going = [asyncio.create_task(reply(engine, r)) for r in good[:2]]
        for length in (1, 9, 40):
            with pytest.raises(RequestFailedError, match=message):
                await reply(engine, request((*clean(length), culprit)))
        found = [await task for task in going] + [await reply(engine, good[2])]
        assert engine.healthy
        assert engine.stats().running == 0
    for f, w in zip(found, wanted, strict=True):
        assert_same(f, w, bitwise=deterministic)


async def test_a_prompt_that_cannot_be_scored_fails_alone() -> None:
    """The last layer gives NaN for one token: the reply knows nothing of it, but the prompt's scores would."""
    good = request(clean(9), max_tokens=30)
    poisoned = (*clean(5), POISONS, *clean(20))
    for budget in (512, 7):
        engine = build(faulty=False, prefill_budget=budget, bundles=False)
        poison_last_layer(engine._loop._executor.model)
        async with running(engine):
            wanted = await reply(engine, good)
            assert (await reply(engine, request(poisoned, max_tokens=3))).finish_reason is not None
            going = asyncio.create_task(reply(engine, good))
            for tokens in (0, 3):
                with pytest.raises(RequestFailedError, match="logits that are not finite"):
                    await reply(engine, request(poisoned, max_tokens=tokens, prompt_logprobs=1))
            assert_same(await going, wanted, bitwise=False)
            assert engine.stats().running == 0


async def test_a_culprit_in_the_middle_of_a_reply_fails_alone() -> None:
    """A forced continuation runs into the culprit while decoding beside others."""
    good = [request(clean(5), max_tokens=30), request(clean(9), {"steer": 1.0}, max_tokens=30)]
    async with running(build(faulty=False)) as engine:
        wanted = await replies(engine, good)
    for culprit in (RAISES, POISONS):
        async with running(build()) as engine:
            going = [asyncio.create_task(reply(engine, r)) for r in good]
            with pytest.raises(RequestFailedError):
                await engine.score(request(clean(7)), [5, 6, culprit, 7, 8])
            for task, w in zip(going, wanted, strict=True):
                assert_same(await task, w, bitwise=False)


async def test_nothing_of_a_poisoned_request_is_left_in_its_slot() -> None:
    async with running(build(slots=1, bundles=False)) as engine:
        with pytest.raises(RequestFailedError):
            await reply(engine, request((*clean(50), POISONS)))
        chunks = engine.generate(request((POISONS, *clean(30), RAISES), max_tokens=5))
        with pytest.raises(RequestFailedError):
            await anext(chunks)
        wanted = request(clean(8), max_tokens=40)
        reference = Reference("llama", ())
        never_say_culprits(reference.model)
        assert (await reply(engine, wanted)).token_ids == reference.greedy(wanted)


async def test_a_reply_that_cannot_be_decoded_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = build(faulty=False)

    def refuse(_token_ids: list[int]) -> str:
        raise UnicodeError("no such text")

    async with running(engine):
        with monkeypatch.context() as patched:
            patched.setattr(engine.tokenizer, "decode_list", refuse)
            with pytest.raises(RequestFailedError, match="could not be decoded: UnicodeError"):
                await reply(engine, request(clean(5)))
        assert len((await reply(engine, request(clean(5)))).token_ids) == REPLY


@pytest.mark.filterwarnings("error")
async def test_when_the_loop_dies_everyone_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = build(faulty=False, slots=1)
    async with running(engine):
        tasks = [
            asyncio.create_task(reply(engine, request(clean(5), temperature=1.0, seed=1, max_tokens=110)))
            for _ in range(3)
        ]
        while engine.stats().running == 0 or engine.stats().waiting < 2:
            await asyncio.sleep(0.001)

        def die() -> None:
            raise MemoryError("gone")

        monkeypatch.setattr(engine._loop._scheduler, "next_step", die)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineUnavailableError)
            assert "the engine died: MemoryError: gone" in str(result)
        while engine.healthy:
            await asyncio.sleep(0.001)
        with pytest.raises(EngineUnavailableError, match="MemoryError: gone"):
            await reply(engine, request(clean(5)))


async def test_an_engine_that_does_not_run_says_so() -> None:
    engine = build(faulty=False)
    assert not engine.healthy
    with pytest.raises(EngineUnavailableError, match="has not been started"):
        await reply(engine, request(clean(5)))
    async with running(engine):
        assert engine.healthy
    assert not engine.healthy
    with pytest.raises(EngineUnavailableError, match="stopped"):
        await reply(engine, request(clean(5)))


async def test_stopping_lets_accepted_requests_finish() -> None:
    engine = build(faulty=False, slots=1, drain_seconds=60.0)
    await engine.start()
    tasks = [asyncio.create_task(reply(engine, request(clean(5), max_tokens=20))) for _ in range(3)]
    while engine.stats().running == 0 or engine.stats().waiting < 2:
        await asyncio.sleep(0.001)
    stopping = asyncio.create_task(engine.stop())
    found = await asyncio.gather(*tasks)
    await stopping
    assert found[0].finish_reason is not None
    assert found[0] == found[1] == found[2]


async def test_stopping_at_once_fails_what_runs_and_waits() -> None:
    engine = build(faulty=False, slots=1, drain_seconds=0.0)
    await engine.start()
    tasks = [
        asyncio.create_task(reply(engine, request(clean(5), temperature=1.0, seed=1, max_tokens=110)))
        for _ in range(2)
    ]
    while engine.stats().running == 0 or engine.stats().waiting == 0:
        await asyncio.sleep(0.001)
    await engine.stop()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, EngineUnavailableError)
        assert "stopped before the reply was finished" in str(result)


async def test_a_stopped_engine_leaves_its_model_as_it_was() -> None:
    model = tiny_model("llama")
    loaded = LoadedModel(model=model, tokenizer=tiny_tokenizer(), model_id="llama")
    before = model.config._attn_implementation
    engine = load_embedded_engine(EmbeddedEngineConfig(model=loaded, bundles=contract_bundles("llama"), slots=2))
    async with running(engine):
        await reply(engine, request(clean(5), {"heads": 1.0}))
        assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) > 0
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0
    assert model.config._attn_implementation == before


async def test_a_reader_whose_event_loop_is_gone_frees_its_slot() -> None:
    engine = build(faulty=False, slots=1)

    async def read_one() -> object:
        chunks = engine.generate(request(clean(5), temperature=1.0, seed=1, max_tokens=110))
        first = await anext(chunks)
        # Leave without closing, as a thread that dies would: only the closed event loop tells.
        engine._forgotten = chunks  # type: ignore[attr-defined]
        return first

    async with running(engine):
        loop = asyncio.new_event_loop()
        await asyncio.to_thread(loop.run_until_complete, read_one())
        loop.close()
        while engine.stats().running:
            await asyncio.sleep(0.001)
        assert len((await reply(engine, request(clean(5)))).token_ids) == REPLY


async def test_the_model_never_runs_on_the_event_loops_thread() -> None:
    engine = build(faulty=False)
    seen: set[int] = set()
    engine._loop._executor.model.register_forward_pre_hook(lambda *_: seen.add(threading.get_ident()))
    async with running(engine):
        await replies(engine, [request(clean(n)) for n in (4, 9)])
    assert len(seen) == 1
    assert threading.get_ident() not in seen
