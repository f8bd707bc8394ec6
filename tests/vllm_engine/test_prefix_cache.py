"""Keys and values that differ are never shared, those that cannot differ are: invariant 3 inside vLLM's own cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from engine_contract import TOLERANCE, prompt
from vllm_engines import BLOCK, Reply, Wanted, engine, replies
from vllm_models import Served, serve_tiny

LENGTH = 3 * BLOCK + 8
"""Of a prompt: three whole blocks and the beginning of one."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def engine_with_cache(served: Served) -> Iterator[Any]:
    with engine(served, enable_prefix_caching=True) as llm:
        yield llm


@pytest.fixture
def llm(engine_with_cache: Any) -> Any:
    """Nothing cached."""
    assert engine_with_cache.reset_prefix_cache()
    return engine_with_cache


def assert_equal(served: Served, wanted: Wanted, found: Reply) -> None:
    chosen, logprobs = served.logprobs(wanted.prompt, found.token_ids, wanted.strengths, wanted.start)
    assert found.token_ids == chosen
    assert found.logprobs == pytest.approx(logprobs, abs=TOLERANCE)


def ask(served: Served, llm: Any, wanted: Wanted) -> Reply:
    """One request alone, right however warm the cache is."""
    (found,) = replies(llm, [wanted])
    assert_equal(served, wanted, found)
    return found


EVERYWHERE = {"heads": 2.0}
GENERATED = {"steer": 0.75, "mlp": 1.0}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order_of_three_plans(served: Served, llm: Any, order: tuple[int, ...]) -> None:
    plans = ({}, EVERYWHERE, GENERATED)
    for n in [*order, *order]:
        ask(served, llm, Wanted(prompt=prompt(LENGTH), strengths=plans[n], reply=40))


def test_whole_blocks_before_the_last_prompt_token_are_shared_by_all_plans_of_scope_generation(
    served: Served, llm: Any
) -> None:
    plans = ({}, GENERATED, {"steer": 1.0}, {"mlp": 0.5})
    found = [ask(served, llm, Wanted(prompt=prompt(LENGTH), strengths=p)) for p in plans]
    assert [f.cached for f in found] == [0, *[3 * BLOCK] * 3]


def test_blocks_of_a_plan_of_all_tokens_are_shared_under_that_plan_only(served: Served, llm: Any) -> None:
    plans = ({}, EVERYWHERE, EVERYWHERE, {"heads": 1.0}, {})
    found = [ask(served, llm, Wanted(prompt=prompt(LENGTH), strengths=p)) for p in plans]
    assert [f.cached for f in found] == [0, 0, 3 * BLOCK, 0, 3 * BLOCK]


def test_a_prompt_that_begins_another_under_the_same_plan(served: Served, llm: Any) -> None:
    """Both fill the same block with the same tokens; in the longer one's they are steered later."""
    whole = prompt(LENGTH)
    short = Wanted(prompt=whole[: 2 * BLOCK - 12], strengths=GENERATED, reply=60)
    reply = ask(served, llm, short)
    for extra in (5, 40):
        longer = Wanted(prompt=(*short.prompt, *reply.token_ids[:extra]), strengths=GENERATED, reply=20)
        found = ask(served, llm, longer)
        assert found.cached == len(short.prompt) // BLOCK * BLOCK
    assert ask(served, llm, short).cached == len(short.prompt) // BLOCK * BLOCK


def test_a_conversation_whose_earlier_turn_was_generated_under_another_plan(served: Served, llm: Any) -> None:
    first = Wanted(prompt=prompt(BLOCK + 3), strengths=GENERATED, reply=2 * BLOCK)
    earlier = ask(served, llm, first)
    turn = (*first.prompt, *earlier.token_ids, *prompt(11, seed=5))
    # Of the earlier turn only its prompt's whole block is the base model's.
    plans = ({}, {"steer": 1.0}, EVERYWHERE, GENERATED)
    found = [ask(served, llm, Wanted(prompt=turn, strengths=p)) for p in plans]
    whole = len(turn) // BLOCK * BLOCK
    assert [f.cached for f in found] == [BLOCK, whole, 0, whole]


def test_generation_starts_within_a_prompt(served: Served, llm: Any) -> None:
    starts = (LENGTH - 1, BLOCK, 2 * BLOCK - 1, 0, BLOCK)
    found = [ask(served, llm, Wanted(prompt=prompt(LENGTH), strengths=GENERATED, start=s)) for s in starts]
    assert [f.cached for f in found] == [0, BLOCK, BLOCK, 0, 3 * BLOCK]


def test_a_prompt_of_whole_blocks(served: Served, llm: Any) -> None:
    """Its last token, which is steered, ends a block."""
    for strengths in ({}, GENERATED, {}, GENERATED):
        found = ask(served, llm, Wanted(prompt=prompt(3 * BLOCK), strengths=strengths, reply=40))
    assert found.cached == 2 * BLOCK
