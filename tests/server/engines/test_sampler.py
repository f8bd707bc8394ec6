"""The sampler against transformers' own logits warpers, exactly: quantiles, not luck."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from server.engines.base import RequestRefusedError, SamplingParams
from server.engines.embedded.filters import CANDIDATES, draw_tokens
from server.engines.embedded.logprobs import score_tokens
from server.engines.embedded.sampler import TokenChooser, choose
from server.engines.limits import check_sampling

GRID = 4000
VOCAB = 500

CASES = [
    SamplingParams(max_tokens=1),
    SamplingParams(max_tokens=1, temperature=0.3),
    SamplingParams(max_tokens=1, temperature=2.0, top_k=7),
    SamplingParams(max_tokens=1, top_k=1),
    SamplingParams(max_tokens=1, top_k=VOCAB + 100),
    SamplingParams(max_tokens=1, top_p=0.5),
    SamplingParams(max_tokens=1, top_p=0.01),
    SamplingParams(max_tokens=1, top_p=0.97, temperature=3.0),
    SamplingParams(max_tokens=1, top_k=40, top_p=0.8),
    SamplingParams(max_tokens=1, top_k=200, top_p=0.9, temperature=1.7),
]


def random_logits(spread: float, rows: int = 1, seed: int = 0) -> Float[Tensor, "row vocab"]:
    return torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed)) * spread


def warped(logits: Float[Tensor, "1 vocab"], params: SamplingParams) -> Float[Tensor, " vocab"]:
    ids = torch.zeros(1, 1, dtype=torch.long)
    scores = TemperatureLogitsWarper(params.temperature)(ids, logits)
    if params.top_k:
        scores = TopKLogitsWarper(params.top_k)(ids, scores)
    if params.top_p < 1:
        scores = TopPLogitsWarper(params.top_p)(ids, scores)
    return scores[0].double().softmax(-1)


def frequencies(logits: Float[Tensor, "1 vocab"], params: SamplingParams) -> Float[Tensor, " vocab"]:
    """The sampler's distribution, read off an even grid of quantiles."""
    uniform = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    tokens = draw_tokens(logits.expand(GRID, -1), [params] * GRID, uniform)
    return torch.bincount(tokens, minlength=VOCAB).double() / GRID


@pytest.mark.parametrize("params", CASES, ids=str)
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_distribution_is_that_of_the_logits_warpers(params: SamplingParams, spread: float) -> None:
    logits = random_logits(spread)
    wanted = warped(logits, params)
    found = frequencies(logits, params)
    # Each token's interval meets the grid to within one point at either end.
    assert float((found - wanted).abs().max()) <= 1.01 / GRID
    assert set(found.nonzero().flatten().tolist()) <= set(wanted.nonzero().flatten().tolist())


def test_a_flat_distribution_needs_the_full_sort_and_gets_it() -> None:
    params = SamplingParams(max_tokens=1, top_p=0.9)
    kept = frequencies(random_logits(0.1), params) > 0
    assert int(kept.sum()) > 5 * CANDIDATES


def test_rows_keep_their_own_rules_in_a_mixed_batch() -> None:
    logits = random_logits(2.0, rows=len(CASES), seed=4)
    uniform = torch.rand(len(CASES), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = draw_tokens(logits, CASES, uniform).tolist()
    alone = [int(draw_tokens(logits[i : i + 1], [p], uniform[i : i + 1])) for i, p in enumerate(CASES)]
    assert together == alone


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_stay_among_possible_tokens(uniform: float) -> None:
    logits = torch.full((1, VOCAB), -torch.inf)
    logits[0, 3:6] = torch.tensor([0.1, 0.2, 0.3])
    for params in CASES:
        assert int(draw_tokens(logits, [params], torch.tensor([uniform], dtype=torch.float64))) in (3, 4, 5)


def test_logprobs_are_of_the_unfiltered_distribution_at_temperature_1() -> None:
    logits = random_logits(2.0, rows=3)
    wanted = logits.log_softmax(-1)
    rules = [
        SamplingParams(max_tokens=1, temperature=0),
        SamplingParams(max_tokens=1, temperature=0.2, top_k=3, top_p=0.5, seed=1),
        SamplingParams(max_tokens=1, temperature=4.0, seed=2),
    ]
    choices = choose(logits, [TokenChooser(r) for r in rules])
    assert choices[0].token_id == int(logits[0].argmax())
    for row, choice in enumerate(choices):
        assert choice.logprob == pytest.approx(float(wanted[row, choice.token_id]), abs=1e-5)


def test_forced_tokens_come_in_order_and_then_the_rules_apply() -> None:
    logits = random_logits(2.0)
    chooser = TokenChooser(SamplingParams(max_tokens=3, temperature=0), forced=[7, 9])
    found = [choose(logits, [chooser])[0] for _ in range(3)]
    assert [c.token_id for c in found] == [7, 9, int(logits.argmax())]
    assert found[1].logprob == pytest.approx(float(logits.log_softmax(-1)[0, 9]), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_give_no_token_and_leave_the_others_alone(temperature: float, bad: float) -> None:
    rules = SamplingParams(max_tokens=1, temperature=temperature, top_p=0.9, seed=3)
    logits = random_logits(2.0, rows=3)
    wanted = choose(logits, [TokenChooser(rules) for _ in range(3)])
    logits[1, 17] = bad
    found = choose(logits, [TokenChooser(rules) for _ in range(3)])
    assert found[1] is None
    assert [found[0], found[2]] == [wanted[0], wanted[2]]
    logits[1] = -torch.inf
    assert choose(logits, [TokenChooser(rules) for _ in range(3)])[1] is None


def test_impossible_tokens_do_no_harm() -> None:
    logits = random_logits(2.0)
    logits[0, ::2] = -torch.inf
    choice = choose(logits, [TokenChooser(SamplingParams(max_tokens=1, seed=1))])[0]
    assert choice.token_id % 2 == 1


def test_draws_are_the_seeds_own() -> None:
    params = SamplingParams(max_tokens=1, seed=5)
    first, second = TokenChooser(params), TokenChooser(params)
    sequence = [first.draw() for _ in range(200)]
    assert sequence == [second.draw() for _ in range(200)]
    assert len(set(sequence)) == 200
    assert sequence[:5] != [TokenChooser(replace(params, seed=6)).draw() for _ in range(5)]
    assert TokenChooser(replace(params, seed=None)).draw() != TokenChooser(replace(params, seed=None)).draw()


def test_drawn_choices_follow_the_distribution() -> None:
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()[None]
    rules = SamplingParams(max_tokens=1, seed=12)
    chooser = TokenChooser(rules)
    tokens = [choice.token_id for _ in range(40) for choice in choose(logits.expand(100, -1), [chooser] * 100)]
    counts = torch.bincount(torch.tensor(tokens), minlength=4).double()
    expected = torch.tensor([2000.0, 1000.0, 500.0, 500.0], dtype=torch.float64)
    # Chi-square with 3 degrees of freedom: 16.3 is its 99.9th percentile.
    assert float(((counts - expected) ** 2 / expected).sum()) < 16.3


def test_the_likeliest_tokens_are_named_as_the_model_sees_them() -> None:
    """Whatever the rules, and only where asked; the chosen token's own value is the same to the bit."""
    logits = random_logits(2.0, rows=4)
    before = logits.clone()
    rules = [
        SamplingParams(max_tokens=1, temperature=0, top_logprobs=3),
        SamplingParams(max_tokens=1, temperature=5.0, top_k=2, logit_bias={7: 80.0}, top_logprobs=20),
        SamplingParams(max_tokens=1, repetition_penalty=3.0, min_p=0.5),
        SamplingParams(max_tokens=1, temperature=0, presence_penalty=2.0, top_logprobs=1),
    ]
    choices = choose(logits, [TokenChooser(r, prompt=range(50)) for r in rules])
    assert torch.equal(logits, before)
    own = before.log_softmax(-1)
    for row, (choice, params) in enumerate(zip(choices, rules, strict=True)):
        best, tokens = own[row].topk(params.top_logprobs)
        assert [t.token_id for t in choice.top] == tokens.tolist()
        assert [t.logprob for t in choice.top] == pytest.approx(best.tolist(), abs=1e-5)
    assert choices[1].token_id == 7
    assert choices[1].logprob == pytest.approx(float(own[1, 7]), abs=1e-5)
    assert choices[0].logprob == choices[0].top[0].logprob


def test_fewer_tokens_than_asked_for_are_all_named() -> None:
    choice = choose(torch.zeros(1, 4), [TokenChooser(SamplingParams(max_tokens=1, top_logprobs=20))])[0]
    assert sorted(t.token_id for t in choice.top) == [0, 1, 2, 3]
    assert [t.logprob for t in choice.top] == pytest.approx([-math.log(4)] * 4)


def test_given_tokens_are_scored_and_rows_that_are_not_finite_refuse() -> None:
    logits = random_logits(2.0, rows=3)
    own = logits.log_softmax(-1)
    scored = score_tokens(logits, [4, 5, 6], 2)
    assert [s.token_id for s in scored] == [4, 5, 6]
    wanted = [float(own[row, token]) for row, token in enumerate((4, 5, 6))]
    assert [s.logprob for s in scored] == pytest.approx(wanted, abs=1e-5)
    assert [t.token_id for t in scored[2].top] == own[2].topk(2).indices.tolist()
    assert score_tokens(logits[:0], [], 2) == []
    logits[1, 3] = float("nan")
    assert score_tokens(logits, [4, 5, 6], 2) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": float("inf")}, "temperature is inf; wanted a finite number"),
        ({"max_tokens": 0}, "max_tokens is 0; wanted at least 1"),
        ({"max_tokens": -1, "prompt_logprobs": 0}, "max_tokens is -1; wanted at least 0"),
        ({"min_tokens": -1}, r"min_tokens is -1; wanted 0 to max_tokens \(9\)"),
        ({"min_tokens": 10}, r"min_tokens is 10; wanted 0 to max_tokens \(9\)"),
        ({"min_p": -0.1}, r"min_p is -0\.1; wanted 0 \(no limit\) to 1"),
        ({"min_p": 1.5}, "min_p is 1"),
        ({"min_p": float("nan")}, "min_p is nan"),
        ({"presence_penalty": 2.5}, r"presence_penalty is 2\.5; wanted -2 to 2"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty is nan; wanted -2 to 2"),
        ({"repetition_penalty": 0.0}, r"repetition_penalty is 0\.0; wanted 0\.01 to 100 \(1: none\)"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty is inf"),
        ({"top_logprobs": 21}, "top_logprobs is 21; wanted 0 to 20"),
        ({"prompt_logprobs": -1}, "prompt_logprobs is -1; wanted 0 to 20"),
        ({"logit_bias": {50: 1.0}}, "logit_bias names token 50; wanted 0 to 49"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias names token -1"),
        ({"logit_bias": {7: 100.5}}, r"logit_bias of token 7 is 100\.5; wanted -100 to 100"),
        ({"logit_bias": {7: float("nan")}}, "logit_bias of token 7 is nan"),
    ],
)
def test_what_cannot_be_sampled_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    params = SamplingParams(**{"max_tokens": 9} | changes)
    with pytest.raises(RequestRefusedError, match=message) as refused:
        check_sampling(params, vocab=50)
    assert refused.value.param in changes


def test_the_ends_of_the_ranges_can_be_sampled() -> None:
    ends = {
        "presence_penalty": (-2, 2.0),
        "frequency_penalty": (-2.0, 2),
        "repetition_penalty": (0.01, 100),
        "min_p": (0, 1),
    }
    for end in (0, 1):
        changes = {name: values[end] for name, values in ends.items()}
        params = SamplingParams(
            max_tokens=1, min_tokens=end, top_logprobs=20 * end, logit_bias={49: 100 - 200 * end}, **changes
        )
        check_sampling(params, vocab=50)
    check_sampling(SamplingParams(max_tokens=0, prompt_logprobs=20), vocab=50)
