"""What cannot be applied fails the request or the start, whichever way it comes; nothing runs unsteered instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_contract import prompt
from vllm_engines import Wanted, engine, replies
from vllm_models import Served, serve_tiny

from breakers.errors import PlanError, RuntimeAttachError


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def llm(served: Served) -> Iterator[Any]:
    with engine(served, enable_prefix_caching=True) as steered:
        yield steered


BAD_PLANS = [
    ({"unheard_of": 1.0}, None, "bundle 'unheard_of' is not loaded; loaded: heads, mlp, mask, steer"),
    ({"mask": 1.5}, None, r"strength of 'mask' is 1\.5; wanted a number in \[0, 1"),
    ({"steer": 1.0}, 5, "generation_start is 5; wanted 0 to 4"),
]


@pytest.mark.parametrize(("strengths", "start", "words"), BAD_PLANS)
def test_a_plan_that_cannot_be_applied_is_the_clients_mistake(
    llm: Any, strengths: dict[str, float], start: int | None, words: str
) -> None:
    from vllm.exceptions import VLLMValidationError

    with pytest.raises(VLLMValidationError, match=words):
        replies(llm, [Wanted(prompt=prompt(5), strengths=strengths, start=start)])
    assert len(replies(llm, [Wanted(prompt=prompt(5), strengths={"mask": 1.0})])[0].token_ids) == 10


@pytest.mark.parametrize(("strengths", "start", "words"), BAD_PLANS)
def test_the_engine_core_refuses_what_did_not_come_through_our_front_end(
    llm: Any, strengths: dict[str, float], start: int | None, words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        llm.llm_engine.engine_core.add_request(
            core_request(Wanted(prompt=prompt(5), strengths=strengths, start=start))
        )


def test_a_worker_refuses_what_did_not_come_through_our_core(llm: Any) -> None:
    (runner,) = llm.collective_rpc(lambda worker: worker.model_runner)
    sampling = core_request(Wanted(prompt=prompt(5), strengths={"unheard_of": 1.0})).sampling_params
    with pytest.raises(PlanError, match="bundle 'unheard_of' is not loaded"):
        runner.scalpel_steering.take_on("one", sampling, 5)


def test_a_session_whose_prompt_grows_is_refused(llm: Any) -> None:
    request = core_request(Wanted(prompt=prompt(5), strengths={"mask": 1.0}))
    request.resumable = True
    with pytest.raises(PlanError, match="the prompt of the request grows"):
        llm.llm_engine.engine_core.add_request(request)


def test_blocks_are_never_hashed_without_the_plan(llm: Any) -> None:
    from vllm.v1.core.kv_cache_utils import generate_block_hash_extra_keys
    from vllm.v1.request import Request

    wanted = core_request(Wanted(prompt=prompt(5), strengths={"mask": 1.0}))
    with pytest.raises(RuntimeAttachError, match="its plan was never read"):
        generate_block_hash_extra_keys(Request.from_engine_core_request(wanted, None), 0, 5, 0)


def core_request(wanted: Wanted) -> Any:
    """As the engine core receives it."""
    from vllm import SamplingParams
    from vllm.v1.engine import EngineCoreRequest

    return EngineCoreRequest(
        request_id="core",
        prompt_token_ids=list(wanted.prompt),
        mm_features=None,
        sampling_params=SamplingParams(max_tokens=1, extra_args=wanted.extra_args),
        pooling_params=None,
        arrival_time=0.0,
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
    )
