"""What is particular to the embedded engine: packed batches, strengths by row, scoring, compaction, settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from engine_contract import (
    PLANS,
    TOLERANCE,
    Reference,
    contract_bundles,
    plan,
    prompt,
    replies,
    request,
    running,
)
from tiny import TINY_TYPES, tiny_config, tiny_model
from tiny_tokenizer import tiny_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope, StrengthTable
from breakers.errors import SiteError
from breakers.interventions import SteeringVector
from breakers.runtime import TorchRuntime
from breakers.sites import Component, Site
from server.engines.base import RequestRefusedError
from server.engines.embedded import (
    EmbeddedEngineConfig,
    EmbeddedLoadError,
    EngineConfigError,
    LoadedModel,
    load_embedded_engine,
    load_model,
)
from server.engines.embedded.batch import PackedBatch, Work
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.config import resolve, resolve_device
from server.engines.embedded.executor import Executor
from server.engines.embedded.loading import end_of_reply_ids
from server.engines.embedded.selfcheck import rows_are_independent


def loaded(model: PreTrainedModel, model_id: str = "tiny") -> LoadedModel:
    return LoadedModel(model=model, tokenizer=tiny_tokenizer(), model_id=model_id)


def executor(
    model: PreTrainedModel, bundles: tuple[BankEntry, ...], slots: int = 6
) -> tuple[Executor, StrengthTable]:
    bank = Bank(resolve_sites(model), bundles)
    cache = SlotCache(slots=slots, max_length=64, device=torch.device("cpu"), dtype=torch.float32)
    return Executor(model, cache, TorchRuntime(model, bank)), StrengthTable(bank, slots + 1)


@torch.inference_mode()
def mixed_logits(
    model_type: str, bundles: tuple[BankEntry, ...], plans: list[dict[str, float]]
) -> list[torch.Tensor]:
    """Logits of prefill and then of a step that decodes four requests beside the prefill of two."""
    model = tiny_model(model_type)
    if model_type == "mixtral":
        # Experts grouped by token depend on how every other token was routed, interventions or not.
        model.set_experts_implementation("batched_mm")
    run, table = executor(model, bundles)
    for slot, strengths in enumerate(plans):
        table.assign(slot, plan(strengths), 5)
    first = [Work(slot=s, start=0, token_ids=prompt(6 + s), wants_logits=True) for s in range(4)]
    second = [Work(slot=s, start=6 + s, token_ids=[20 + s], wants_logits=True) for s in range(4)]
    more = [Work(slot=s, start=0, token_ids=prompt(9 + s), wants_logits=True) for s in (4, 5)]
    logits = []
    with run.installed():
        for decode, prefill in (([], first), (second, more)):
            batch = PackedBatch(decode, prefill, cache=run.cache)
            logits.append(run.forward(batch, table.gather(batch.host_slots, batch.host_positions)))
    return logits


@pytest.mark.parametrize("model_type", TINY_TYPES)
def test_rows_of_strength_0_are_bit_for_bit_the_unmodified_model_in_the_same_batch(model_type: str) -> None:
    bundles = contract_bundles(model_type)
    plans = [PLANS[1], {}, PLANS[3], {"heads": 0.0}, PLANS[5], {}]
    plain = mixed_logits(model_type, (), [{}] * 6)
    found = mixed_logits(model_type, bundles, plans)
    assert torch.equal(found[0][[1, 3]], plain[0][[1, 3]])
    assert torch.equal(found[1][[1, 3, 5]], plain[1][[1, 3, 5]])
    for row in (0, 2, 4):
        assert not torch.allclose(found[1][row], plain[1][row], atol=1e-3)


@pytest.mark.parametrize("model_type", TINY_TYPES)
async def test_scores_of_a_given_continuation_equal_the_reference(model_type: str) -> None:
    bundles = contract_bundles(model_type)
    reference = Reference(model_type, bundles)
    continuation = [2, *prompt(9, seed=7)]
    wanted = [request(prompt(8 + 5 * i), p) for i, p in enumerate(PLANS)]
    config = EmbeddedEngineConfig(model=loaded(tiny_model(model_type)), bundles=bundles, slots=4)
    async with running(load_embedded_engine(config)) as engine:
        found = await asyncio.gather(*[engine.score(r, continuation) for r in wanted])
        with pytest.raises(RequestRefusedError, match="continuation has 121 tokens; wanted 1 to 120"):
            await engine.score(wanted[0], [5] * 121)
        with pytest.raises(RequestRefusedError, match="continuation has token ids outside"):
            await engine.score(wanted[0], [500])
    for r, f in zip(wanted, found, strict=True):
        assert list(f) == pytest.approx(reference.logprobs(r, continuation), abs=TOLERANCE)


async def test_streamed_text_is_whole_characters_and_joins_to_the_reply() -> None:
    text = "日本語 👩‍👩‍👧‍👦 é hello world"
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(**{**tiny_config("llama").to_dict(), "vocab_size": len(tokenizer)})
    engine = load_embedded_engine(
        EmbeddedEngineConfig(model=loaded(AutoModelForCausalLM.from_config(config)), slots=2)
    )
    ids = engine.tokenizer.encode(text)
    async with running(engine):
        chunks = [chunk async for chunk in engine._run(request((5, 6), max_tokens=len(ids)), forced=ids)]
    assert "".join(chunk.text for chunk in chunks) == text
    assert all("\ufffd" not in chunk.text for chunk in chunks)
    assert [t for chunk in chunks for t in chunk.token_ids] == ids


async def test_pure_decode_steps_reuse_the_gathered_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = contract_bundles("llama")
    config = EmbeddedEngineConfig(model=loaded(tiny_model("llama")), bundles=bundles, slots=2)
    gathered = 0
    original = StrengthTable.gather

    def counting(self: StrengthTable, slots: torch.Tensor, positions: torch.Tensor) -> object:
        nonlocal gathered
        gathered += 1
        return original(self, slots, positions)

    engine = load_embedded_engine(config)
    monkeypatch.setattr(StrengthTable, "gather", counting)
    async with running(engine):
        await replies(engine, [request(prompt(9), PLANS[-1], temperature=1.0, seed=1, max_tokens=40)])
        # The prompt, and the first decode step.
        assert engine.stats().steps > 10
        assert gathered == 2


def test_deterministic_mode_knows_which_models_keep_rows_apart() -> None:
    bundles = contract_bundles("llama")
    run, table = executor(tiny_model("llama"), bundles, slots=8)
    with run.installed():
        assert rows_are_independent(run, table, slots=8, rows=8, cache=run.cache)
        assert rows_are_independent(run, table, slots=8, rows=8, cache=run.cache.alike(slots=8, max_length=1))
    assert not table.gather(torch.arange(8), torch.zeros(8, dtype=torch.long)).values.any()
    run, table = executor(tiny_model("mixtral"), (), slots=8)
    with run.installed():
        assert not rows_are_independent(run, table, slots=8, rows=8, cache=run.cache)


def test_a_released_slot_is_zeroed_and_a_moved_one_is_whole() -> None:
    cache = SlotCache(slots=3, max_length=8, device=torch.device("cpu"), dtype=torch.float32)
    slots, positions = torch.tensor([0, 0, 2]), torch.tensor([0, 1, 0])
    key = torch.arange(1.0, 13.0).reshape(1, 2, 3, 2)
    keys, values = cache.write(4, cache.flat_index(2, slots, positions), key, -key)
    assert keys[0, 1, :2].tolist() == key[0, 1, :2].tolist()
    assert values[2, :, 0].tolist() == (-key[0, :, 2]).tolist()
    cache.move(0, 1, 2)
    assert keys[1, 1, :2].tolist() == key[0, 1, :2].tolist()
    assert not keys[0].any()
    assert keys[2].any()
    cache.clear(2, 1)
    assert not keys[2].any()
    assert not values[2].any()
    assert cache.bytes == 2 * 4 * 2 * 9 * 2 * 4  # nine positions: one more than eight, to be odd


def test_a_bundle_that_does_not_fit_the_model_is_refused_at_load() -> None:
    vector = SteeringVector(site=Site(layer=9, component=Component.RESID), vector=torch.zeros(32))
    entry = BankEntry(name="far", scope=Scope.ALL, interventions=(vector,))
    with pytest.raises(SiteError, match="layers 0 to 2"):
        load_embedded_engine(EmbeddedEngineConfig(model=loaded(tiny_model("llama")), bundles=(entry,)))


async def test_a_saved_model_loads_and_speaks(tmp_path: Path) -> None:
    directory = tmp_path / "little-model"
    tiny_model("llama").save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    engine = load_embedded_engine(EmbeddedEngineConfig(model=directory, dtype="bfloat16", slots=1, max_model_len=50))
    assert engine.info.model_id == "little-model"
    assert engine.info.max_model_len == 50
    assert engine.info.dtype == "bfloat16"
    async with running(engine):
        chat = engine.tokenizer.encode_chat([{"role": "user", "content": "A B"}])
        with pytest.raises(RequestRefusedError, match="token ids outside 0 to 95"):
            await replies(engine, [request([*chat, 200])])
        found = await replies(engine, [request([i for i in chat if i < 96])])
    assert found[0].token_ids


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedLoadError, match=r"has no config\.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(EmbeddedLoadError, match="cannot be loaded"):
        load_model(tmp_path)


def test_end_of_reply_tokens_come_from_both_places() -> None:
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    model.generation_config.eos_token_id = [7, 9]
    assert end_of_reply_ids(model, tokenizer) == {2, 7, 9}
    model.generation_config.eos_token_id = None
    assert end_of_reply_ids(model, tokenizer) == {2}
    tokenizer.eos_token = None
    model.generation_config.eos_token_id = 5
    assert end_of_reply_ids(model, tokenizer) == {5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu'; wanted one of auto, cpu, cuda"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"slots": 0}, "slots is 0; wanted at least 1"),
        ({"prefill_budget": 0}, "prefill_budget is 0"),
        ({"deterministic_chunk": 0}, "deterministic_chunk is 0"),
        ({"max_model_len": 0}, "max_model_len is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"queue_size": -1}, "queue_size and drain_seconds"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(EngineConfigError, match=message):
        EmbeddedEngineConfig(model=Path("anywhere"), **settings)


def test_automatic_settings() -> None:
    config = EmbeddedEngineConfig(model=Path("anywhere"))
    machine = {"cores": 8, "model_positions": 1024}
    small = resolve(config, device="cpu", parameters=8_000_000, **machine)
    large = resolve(config, device="cpu", parameters=7_000_000_000, **machine)
    assert (small.threads, large.threads, small.max_model_len) == (1, 8, 1024)
    assert resolve(config, device="cuda", parameters=7_000_000_000, **machine).threads == 1
    assert resolve(config, device="cpu", parameters=1, cores=1, model_positions=131072).max_model_len == 4096
    fixed = EmbeddedEngineConfig(model=Path("anywhere"), threads=3, max_model_len=100)
    assert resolve(fixed, device="cpu", parameters=1, **machine).threads == 3
    assert resolve(fixed, device="cpu", parameters=1, **machine).max_model_len == 100
    with pytest.raises(EngineConfigError, match="max_model_len is 100, but this model has 64 positions"):
        resolve(fixed, device="cpu", parameters=1, cores=1, model_positions=64)
    assert resolve_device("auto", cuda_available=True) == "cuda"
    assert resolve_device("auto", cuda_available=False) == "cpu"
    assert resolve_device("cpu", cuda_available=True) == "cpu"
    with pytest.raises(EngineConfigError, match="sees no CUDA device"):
        resolve_device("cuda", cuda_available=False)


def test_attention_outside_a_step_fails() -> None:
    run, _ = executor(tiny_model("llama"), ())
    with run.installed(), pytest.raises(RuntimeError, match="outside an engine step"):
        run.model(torch.tensor([[5, 6]]))


def test_a_growing_cache_keeps_what_it_holds() -> None:
    fixed = SlotCache(slots=2, max_length=700, device=torch.device("cpu"), dtype=torch.float32)
    growing = SlotCache(slots=2, max_length=700, device=torch.device("cpu"), dtype=torch.float32, grows=True)
    draw = torch.Generator().manual_seed(0)
    for length in (1, 40, 256, 257, 700):
        positions = torch.arange(max(0, length - 30), length)
        keys = torch.randn(1, 3, len(positions), 4, generator=draw)
        for cache in (fixed, growing):
            cache.reserve(length)
            cache.write(0, cache.flat_index(3, torch.ones_like(positions), positions), keys, keys[..., :2])
        for one, other in zip(fixed.tensors, growing.tensors, strict=True):
            assert torch.equal(one[:, :, :length], other[:, :, :length])
    assert abs(growing.bytes - fixed.bytes) < fixed.bytes * 0.01
