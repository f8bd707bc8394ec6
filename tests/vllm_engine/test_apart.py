"""Compiled and on two ranks; and no graph that was compiled without the edits is ever taken for one with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_contract import TOLERANCE, prompt
from vllm_engines import Wanted
from vllm_models import Served, serve_tiny
from vllm_run import run_apart

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"))


def crowd(served: Served) -> list[Wanted]:
    return [Wanted(prompt=prompt(5 + 9 * i), strengths=p) for i, p in enumerate(served.plans)]


def test_compiled_with_what_an_engine_without_bundles_left_in_the_cache(served: Served, tmp_path: Path) -> None:
    wanted = crowd(served)
    unsteered = [Wanted(prompt=w.prompt, strengths={}) for w in wanted]
    compiled = {"enforce_eager": False, "environment": {"VLLM_CACHE_ROOT": str(tmp_path)}}
    (plain,) = run_apart(served, [unsteered], bundles=False, **compiled)
    # The second time from the cache.
    for _ in range(2):
        found, beside = run_apart(served, [wanted, unsteered], **compiled)
        assert beside == plain
        for w, f in zip(wanted, found, strict=True):
            chosen, logprobs = served.logprobs(w.prompt, f.token_ids, w.strengths)
            assert f.token_ids == chosen
            assert f.logprobs == pytest.approx(logprobs, abs=TOLERANCE)
    assert run_apart(served, [unsteered], bundles=False, **compiled) == [plain]


def test_two_tensor_parallel_ranks(served: Served) -> None:
    """Processes of their own, each with half of the heads and neurons."""
    wanted = crowd(served)
    two = {"tensor_parallel_size": 2, "distributed_executor_backend": "mp"}
    (found,) = run_apart(served, [wanted], environment={}, **two)
    for w, f in zip(wanted, found, strict=True):
        chosen, logprobs = served.logprobs(w.prompt, f.token_ids, w.strengths)
        assert f.token_ids == chosen
        assert f.logprobs == pytest.approx(logprobs, abs=TOLERANCE)


def test_the_v2_runner_with_interpreted_kernels(served: Served) -> None:
    """Prompts in chunks and preemption: this runner forgets a preempted request and takes it on again."""
    wanted = [Wanted(prompt=prompt(30 + 9 * i), strengths=p, reply=20) for i, p in enumerate(served.plans)]
    environment = {"VLLM_USE_V2_MODEL_RUNNER": "1", "TRITON_INTERPRET": "1"}
    small = {"num_gpu_blocks_override": 9, "max_num_batched_tokens": 16, "max_model_len": 128}
    (found,) = run_apart(served, [wanted], environment=environment, enable_prefix_caching=True, **small)
    for w, f in zip(wanted, found, strict=True):
        chosen, logprobs = served.logprobs(w.prompt, f.token_ids, w.strengths)
        assert f.token_ids == chosen
        assert f.logprobs == pytest.approx(logprobs, abs=TOLERANCE)
