"""LoRA adapters as the independent oracle of a bundle at a fixed strength."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_contract import TOLERANCE, prompt
from vllm_engines import Reply, Wanted, engine, replies
from vllm_models import Served, serve_tiny

from breakers.bundles import load_bundle
from breakers.exports.base import ExportBase, ExportSpec
from breakers.exports.export import export_bundle
from breakers.exports.formats import ExportFormat

STRENGTH = 2.0
RANK = 4


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def exported(served: Served) -> Path:
    """The breaker at a head, as `scalpel bundle export --format peft` writes it."""
    out = served.directory.parent / "heads-peft"
    spec = ExportSpec(format=ExportFormat.PEFT, strength=STRENGTH)
    base = ExportBase(model=served.model, name="tiny")
    return export_bundle(load_bundle(served.directory.parent / "heads"), base, out, spec).path


def assert_equal(reference: Served, wanted: Wanted, found: Reply, tolerance: float = TOLERANCE) -> None:
    chosen, logprobs = reference.logprobs(wanted.prompt, found.token_ids, wanted.strengths)
    assert found.token_ids == chosen
    assert found.logprobs == pytest.approx(logprobs, abs=tolerance)


def test_plain_multi_lora_serves_what_the_plan_serves(served: Served, exported: Path) -> None:
    """vLLM without our edits, with the exported adapter: someone else's arithmetic for the same change."""
    steered = Wanted(prompt=prompt(20), strengths={"heads": STRENGTH})
    with engine(served, bundles=False, enable_lora=True, max_lora_rank=8) as llm:
        (oracle,) = replies(llm, [Wanted(prompt=steered.prompt, strengths={}, adapter=exported)], plain=True)
    with engine(served) as llm:
        (found,) = replies(llm, [steered])
    assert found.token_ids == oracle.token_ids
    assert found.logprobs == pytest.approx(oracle.logprobs, abs=1e-3)
    assert_equal(served, steered, oracle, 1e-3)
