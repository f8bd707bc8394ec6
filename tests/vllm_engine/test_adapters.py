"""LoRA adapters: beside plans in one batch, and as the independent oracle of a bundle at a fixed strength."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from engine_contract import TOLERANCE, prompt
from vllm_engines import Reply, Wanted, engine, replies
from vllm_models import Served, serve_tiny

from breakers.architectures import resolve_sites
from breakers.bank import Bank
from breakers.bundles import load_bundle
from breakers.exports.base import ExportBase, ExportSpec
from breakers.exports.export import export_bundle
from breakers.exports.folding import LoraFactors
from breakers.exports.formats import ExportFormat
from breakers.exports.lora import LoraAdapter
from breakers.runtime import TorchRuntime

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


@pytest.fixture(scope="module")
def adapted(served: Served) -> tuple[Path, Served]:
    """An adapter of the projections that are steered and of one that is not, and the model with it written in."""
    g = torch.Generator().manual_seed(5)
    model = copy.deepcopy(served.model)
    modules = {}
    names = [
        f"model.layers.{n}.{m}" for n in range(3) for m in ("self_attn.o_proj", "mlp.down_proj", "self_attn.q_proj")
    ]
    for name in names:
        weight = model.get_submodule(name).weight
        out, width = weight.shape
        factors = LoraFactors(a=torch.randn(RANK, width, generator=g) / 8, b=torch.randn(out, RANK, generator=g) / 8)
        with torch.no_grad():
            weight += factors.b @ factors.a
        modules[name] = factors
    path = served.directory.parent / "adapter"
    path.mkdir()
    LoraAdapter(base_name="tiny", rank=RANK, transposed=False, modules=modules).write(path)
    bank = Bank(resolve_sites(model), served.runtime.bank.entries)
    reference = Served(
        model=model,
        directory=served.directory,
        bundles=served.bundles,
        plans=served.plans,
        runtime=TorchRuntime(model, bank),
    )
    return path, reference


def assert_equal(reference: Served, wanted: Wanted, found: Reply, tolerance: float = TOLERANCE) -> None:
    chosen, logprobs = reference.logprobs(wanted.prompt, found.token_ids, wanted.strengths)
    assert found.token_ids == chosen
    assert found.logprobs == pytest.approx(logprobs, abs=tolerance)


def test_plans_and_adapters_in_one_batch(served: Served, adapted: tuple[Path, Served]) -> None:
    path, reference = adapted
    prompts = [prompt(5 + 9 * n) for n in range(len(served.plans))]
    plain = [Wanted(prompt=p, strengths=s) for p, s in zip(prompts, served.plans, strict=True)]
    with_adapter = [Wanted(prompt=w.prompt, strengths=w.strengths, adapter=path) for w in plain]
    with engine(served, enable_lora=True, max_lora_rank=8, max_loras=1, enable_prefix_caching=True) as llm:
        found = replies(llm, [w for pair in zip(plain, with_adapter, strict=True) for w in pair])
    for n, (without, adapted_too) in enumerate(zip(plain, with_adapter, strict=True)):
        assert_equal(served, without, found[2 * n])
        assert_equal(reference, adapted_too, found[2 * n + 1])


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
