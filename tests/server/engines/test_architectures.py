"""The contract of architectures: every row of the table resolves, idles, steers by row, and runs in the engine."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from architecture_bundles import folded, linear_entries, residual_entry
from engine_contract import TOLERANCE, Reference, prompt, replies, request, running
from tiny import ALL_TYPES, VOCAB, tiny_model
from tiny_tokenizer import tiny_tokenizer
from transformers import PreTrainedModel

from breakers.architectures import ARCHITECTURES, ModelSites, resolve_sites
from breakers.bank import Bank, BankEntry
from breakers.runtime import TorchRuntime
from breakers.sites import Boundary, HookPoint
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine

IDS = torch.randint(3, VOCAB, (4, 14), generator=torch.Generator().manual_seed(0))


def test_the_contract_runs_on_the_whole_table() -> None:
    assert sorted(ALL_TYPES) == sorted(ARCHITECTURES)


@cache
def model_of(model_type: str) -> PreTrainedModel:
    """Shared by the tests below; none of them changes it."""
    return tiny_model(model_type)


def entries_of(sites: ModelSites) -> list[BankEntry]:
    return [*linear_entries(sites), residual_entry(sites)]


@pytest.mark.parametrize("model_type", ALL_TYPES)
class TestArchitecture:
    @torch.no_grad()
    def test_every_layer_resolves_to_what_runs(self, model_type: str) -> None:
        model = model_of(model_type)
        sites = resolve_sites(model)
        widths: dict[HookPoint, int] = {}
        handles = []
        for point, module in sites.modules.items():
            if point.boundary is Boundary.BLOCK_OUTPUT:

                def after(_module, _args, output, point=point) -> None:
                    widths[point] = (output[0] if isinstance(output, tuple) else output).shape[-1]

                handles.append(module.register_forward_hook(after))
            else:

                def before(_module, args, point=point) -> None:
                    widths[point] = args[0].shape[-1]

                handles.append(module.register_forward_pre_hook(before))
        model(input_ids=IDS)
        for handle in handles:
            handle.remove()
        assert widths == {point: sites.width(point) for point in sites.modules}
        for layer in range(sites.layers):
            assert HookPoint(layer, Boundary.ATTENTION_OUT_INPUT) in widths
            assert HookPoint(layer, Boundary.BLOCK_OUTPUT) in widths
            assert HookPoint(layer, Boundary.MLP_DOWN_INPUT) in widths or layer in sites.experts

    @torch.no_grad()
    def test_a_bank_that_idles_is_bitwise_the_plain_model(self, model_type: str) -> None:
        model = model_of(model_type)
        plain = model(input_ids=IDS).logits
        sites = resolve_sites(model)
        entries = entries_of(sites)
        with TorchRuntime(model, Bank(sites, entries)).steering({entry.name: 0.0 for entry in entries}):
            assert torch.equal(model(input_ids=IDS).logits, plain)
        assert torch.equal(model(input_ids=IDS).logits, plain)

    @torch.no_grad()
    def test_steered_is_the_model_with_edited_weights(self, model_type: str) -> None:
        """Masks zero the columns of the projection's weight, breakers multiply into it."""
        model = model_of(model_type)
        sites = resolve_sites(model)
        plain = model(input_ids=IDS).logits
        for entry in linear_entries(sites):
            by_hand = folded(model, sites, entry)(input_ids=IDS).logits
            with TorchRuntime(model, Bank(sites, [entry])).steering({entry.name: 1.0}):
                steered = model(input_ids=IDS).logits
            torch.testing.assert_close(steered, by_hand, atol=1e-4, rtol=1e-4)
            assert not torch.allclose(steered, plain, atol=1e-2), entry.name

    @torch.no_grad()
    def test_a_mixed_batch_equals_each_row_alone(self, model_type: str) -> None:
        model = model_of(model_type)
        sites = resolve_sites(model)
        entries = entries_of(sites)
        runtime = TorchRuntime(model, Bank(sites, entries))
        # Row 0 asks for nothing, row 1 for everything, the others for a part each.
        rows = torch.zeros(len(IDS), len(entries))
        rows[1] = 0.5
        rows[2, : len(entries) // 2] = 1.0
        rows[3, len(entries) // 2 :] = 0.75

        def logits(ids: torch.Tensor, strengths: torch.Tensor) -> torch.Tensor:
            declared = runtime.bank.token_strengths(strengths.repeat_interleave(ids.shape[1], 0))
            with runtime.forward_strengths(declared):
                return model(input_ids=ids, use_cache=False).logits

        with runtime.attached():
            mixed = logits(IDS, rows)
            alone = torch.cat([logits(IDS[i : i + 1], rows[i : i + 1]) for i in range(len(IDS))])
        torch.testing.assert_close(mixed, alone, atol=TOLERANCE, rtol=TOLERANCE)
        plain = model(input_ids=IDS, use_cache=False).logits
        torch.testing.assert_close(mixed[0], plain[0], atol=TOLERANCE, rtol=TOLERANCE)
        assert all(not torch.allclose(mixed[i], plain[i], atol=1e-2) for i in (1, 2, 3))

    async def test_the_engine_says_what_generate_says(self, model_type: str) -> None:
        entries = entries_of(resolve_sites(model_of(model_type)))
        reference = Reference(model_type, entries)
        half = len(entries) // 2
        plans = [{}, {e.name: 0.5 for e in entries}, {e.name: 1.0 for e in entries[half:]}]
        wanted = [request(prompt(5 + 9 * i), p, max_tokens=6) for i, p in enumerate(plans)]
        engine = load_embedded_engine(
            EmbeddedEngineConfig(
                model=LoadedModel(model=tiny_model(model_type), tokenizer=tiny_tokenizer(), model_id=model_type),
                bundles=tuple(entries),
                slots=3,
                prefill_budget=16,
                drain_seconds=0.0,
            )
        )
        async with running(engine):
            found = await replies(engine, wanted)
        for r, f in zip(wanted, found, strict=True):
            assert f.token_ids == reference.greedy(r)
            assert f.logprobs == pytest.approx(reference.logprobs(r, f.token_ids), abs=TOLERANCE)
