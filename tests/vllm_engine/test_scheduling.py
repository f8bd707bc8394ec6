"""What the scheduler does to requests changes nothing: prompts in chunks, preemption, also with a prefix cache."""

from __future__ import annotations

from typing import Any

import pytest
from engine_contract import TOLERANCE, prompt
from vllm_engines import BLOCK, Wanted, engine, replies
from vllm_models import Served, serve_tiny


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"))


def crowd(served: Served, reply: int) -> list[Wanted]:
    return [
        Wanted(prompt=prompt(40 + 13 * i), strengths=served.plans[i % len(served.plans)], reply=reply)
        for i in range(8)
    ]


def assert_all_equal(served: Served, llm: Any, wanted: list[Wanted]) -> None:
    for w, f in zip(wanted, replies(llm, wanted), strict=True):
        chosen, logprobs = served.logprobs(w.prompt, f.token_ids, w.strengths)
        assert f.token_ids == chosen
        assert f.logprobs == pytest.approx(logprobs, abs=TOLERANCE)


def count_preemptions(llm: Any) -> list[str]:
    """Requests that the scheduler preempts from now on, as it does."""
    scheduler = llm.llm_engine.engine_core.engine_core.scheduler
    preempt, preempted = scheduler._preempt_request, []

    def counted(request: Any, *args: Any, **kwargs: Any) -> Any:
        preempted.append(request.request_id)
        return preempt(request, *args, **kwargs)

    scheduler._preempt_request = counted
    return preempted


@pytest.mark.parametrize("cached", [False, True])
def test_prompts_in_chunks(served: Served, cached: bool) -> None:
    settings = {"max_num_batched_tokens": 16, "enable_chunked_prefill": True, "enable_prefix_caching": cached}
    with engine(served, **settings) as llm:
        assert_all_equal(served, llm, crowd(served, 10))
        if cached:
            # Again, from what the first time left.
            assert_all_equal(served, llm, crowd(served, 10))


@pytest.mark.parametrize("cached", [False, True])
def test_preempted_requests_keep_their_plans(served: Served, cached: bool) -> None:
    """Room for about three of eight whole requests."""
    with engine(served, num_gpu_blocks_override=20, enable_prefix_caching=cached, max_model_len=256) as llm:
        preempted = count_preemptions(llm)
        assert_all_equal(served, llm, crowd(served, 90))
        assert len(preempted) >= 3
        replies(llm, [Wanted(prompt=prompt(3), strengths={}, reply=1)])
        (rows,) = llm.collective_rpc(lambda worker: worker.model_runner.scalpel_steering.rows)
        assert rows.steered == 0


def test_a_preempted_request_does_not_take_over_blocks_of_one_whose_prompt_begins_its_own(served: Served) -> None:
    """Same plan, and the same tokens throughout; but the longer prompt's are steered later, in the same block."""
    forced, strengths = 7, {"steer": 1.0, "mlp": 1.0}
    first = Wanted(prompt=prompt(BLOCK + 20), strengths=strengths, reply=4 * BLOCK, forced=forced)
    longer = Wanted(prompt=(*first.prompt, *[forced] * 5), strengths=strengths, reply=4 * BLOCK, forced=forced)
    # Room for the first one whole, and for the beginning of the second.
    with engine(served, num_gpu_blocks_override=9, enable_prefix_caching=True, max_model_len=8 * BLOCK) as llm:
        preempted = count_preemptions(llm)
        found = replies(llm, [first, longer])
        assert len(preempted) == 1
    for w, f in zip([first, longer], found, strict=True):
        assert f.token_ids == [forced] * w.reply
        _, logprobs = served.logprobs(w.prompt, f.token_ids, w.strengths)
        assert f.logprobs == pytest.approx(logprobs, abs=TOLERANCE)
