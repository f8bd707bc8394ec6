"""Every plan in one batch gives what the plain-PyTorch reference gives; strength 0 is vLLM without the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_contract import TOLERANCE, prompt
from vllm_engines import Reply, Wanted, engine, replies
from vllm_models import Served, serve_tiny

from breakers.vllm_plugin.sites import TESTED_TYPES


@pytest.fixture(scope="module", params=TESTED_TYPES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def plain(served: Served) -> list[Reply]:
    """vLLM started without bundles."""
    with engine(served, bundles=False) as llm:
        return replies(llm, _unsteered(), plain=True)


@pytest.fixture(scope="module")
def llm(served: Served, plain: list[Reply]) -> Iterator[Any]:
    """Started after `plain` has ended: there is one engine at a time."""
    with engine(served) as steered:
        yield steered


def assert_equal(served: Served, wanted: Wanted, found: Reply) -> None:
    chosen, logprobs = served.logprobs(wanted.prompt, found.token_ids, wanted.strengths, wanted.start)
    assert found.token_ids == chosen
    assert found.logprobs == pytest.approx(logprobs, abs=TOLERANCE)


def test_all_plans_in_one_batch(served: Served, llm: Any) -> None:
    wanted = [Wanted(prompt=prompt(5 + 9 * i), strengths=p) for i, p in enumerate(served.plans)]
    found = replies(llm, wanted)
    for w, f in zip(wanted, found, strict=True):
        assert_equal(served, w, f)


def test_every_bundle_changes_the_distribution(served: Served, llm: Any) -> None:
    off, *on = replies(llm, [Wanted(prompt=prompt(20), strengths=p, reply=1) for p in served.plans])
    for steered in on:
        assert abs(steered.logprobs[0] - off.logprobs[0]) > 10 * TOLERANCE or steered.token_ids != off.token_ids


def test_generation_start_is_honoured(served: Served, llm: Any) -> None:
    wanted = [Wanted(prompt=prompt(25), strengths={"steer": 1.0, "mlp": 1.0}, start=s) for s in (0, 10, 24)]
    found = replies(llm, wanted)
    for w, f in zip(wanted, found, strict=True):
        assert_equal(served, w, f)
    assert found[0].logprobs[0] != pytest.approx(found[2].logprobs[0], abs=TOLERANCE)


@pytest.mark.parametrize("say", ["nothing", "zeros"])
def test_strength_0_is_bit_for_bit_vllm_without_the_plugin(
    served: Served, plain: list[Reply], llm: Any, say: str
) -> None:
    zeros = dict.fromkeys(served.plans[-1], 0.0)
    wanted = [Wanted(prompt=w.prompt, strengths=zeros) for w in _unsteered()]
    assert replies(llm, wanted, plain=say == "nothing") == plain


def test_strength_0_beside_steered_requests_is_not_steered(served: Served, plain: list[Reply], llm: Any) -> None:
    crowd = [Wanted(prompt=prompt(7 + i), strengths=p) for i, p in enumerate(served.plans[1:])]
    found = replies(llm, [*crowd[:2], *_unsteered(), *crowd[2:]])[2:5]
    for f, p in zip(found, plain, strict=True):
        assert f.token_ids == p.token_ids
        assert f.logprobs == pytest.approx(p.logprobs, abs=TOLERANCE)


def test_more_requests_than_run_at_once_leave_no_slot_behind(served: Served, llm: Any) -> None:
    wanted = [
        Wanted(
            prompt=prompt(2 + (11 * i) % 31), strengths=served.plans[i % len(served.plans)], reply=1 + (5 * i) % 13
        )
        for i in range(20)
    ]
    for w, f in zip(wanted, replies(llm, wanted), strict=True):
        assert_equal(served, w, f)
    # The runner hears of the last ones' end with the next step.
    replies(llm, [Wanted(prompt=prompt(3), strengths={}, reply=1)])
    (rows,) = llm.collective_rpc(lambda worker: worker.model_runner.scalpel_steering.rows)
    assert rows.steered == 0


def _unsteered() -> list[Wanted]:
    return [Wanted(prompt=prompt(n), strengths={}) for n in (4, 20, 33)]
