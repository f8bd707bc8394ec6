"""The embedded engine keeps the contracts of engines, of sampling and of the self-test."""

from __future__ import annotations

from collections.abc import Sequence

from engine_contract import EngineContract
from sampling_contract import SamplingContract
from selftest_contract import SelfTestContract
from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer

from breakers.bank import BankEntry
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.engines.embedded.engine import EmbeddedEngine


class _Builds:
    def build(
        self,
        model_type: str,
        bundles: Sequence[BankEntry] = (),
        *,
        deterministic: bool = False,
        slots: int = 5,
        prefill_budget: int = 512,
        queue_size: int = 64,
    ) -> EmbeddedEngine:
        loaded = LoadedModel(model=tiny_model(model_type), tokenizer=tiny_tokenizer(), model_id=model_type)
        return load_embedded_engine(
            EmbeddedEngineConfig(
                model=loaded,
                bundles=tuple(bundles),
                deterministic=deterministic,
                deterministic_chunk=16,
                slots=slots,
                prefill_budget=prefill_budget,
                queue_size=queue_size,
                drain_seconds=0.0,
            )
        )


class TestEmbeddedEngine(_Builds, EngineContract):
    pass


class TestEmbeddedSampling(_Builds, SamplingContract):
    pass


class TestEmbeddedSelfTest(_Builds, SelfTestContract):
    pass
