"""Penalties and filters against transformers' own chain of processors: the whole probability vector, not luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.logits_process import LogitsProcessor

from server.engines.base import SamplingParams
from server.engines.embedded.adjustments import adjusted
from server.engines.embedded.filters import CANDIDATES, filtered
from server.engines.embedded.sampler import TokenChooser, choose

ENDS = (1, 2)
BORDER = 1e-5
"""Thresholds are met to this share; a case in which the oracle itself changes within it is skipped."""


class OpenAIPenalties(LogitsProcessor):
    """transformers has none: OpenAI's formula, dense."""

    def __init__(self, presence: float, frequency: float, prompt_length: int) -> None:
        self.presence, self.frequency, self.prompt_length = presence, frequency, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        counts = torch.bincount(input_ids[0, self.prompt_length :], minlength=scores.shape[1])
        return scores - self.frequency * counts - self.presence * (counts > 0)


@dataclass(frozen=True)
class Case:
    """One request in mid-reply."""

    params: SamplingParams
    prompt: tuple[int, ...] = ()
    reply: tuple[int, ...] = ()

    def chooser(self) -> TokenChooser:
        chooser = TokenChooser(self.params, prompt=self.prompt, end_ids=ENDS)
        for token in self.reply:
            chooser.note(token)
        return chooser


def rules(**changes: object) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 64, "seed": 0} | changes)


def chain(case: Case) -> LogitsProcessorList:
    """In the order of transformers' `_get_logits_processor`."""
    p = case.params
    processors = LogitsProcessorList()
    if p.logit_bias:
        processors.append(SequenceBiasLogitsProcessor({(t,): float(b) for t, b in p.logit_bias.items()}))
    if p.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(float(p.repetition_penalty)))
    processors.append(OpenAIPenalties(p.presence_penalty, p.frequency_penalty, len(case.prompt)))
    if p.min_tokens:
        processors.append(MinNewTokensLengthLogitsProcessor(len(case.prompt), p.min_tokens, list(ENDS)))
    if p.temperature != 1:
        processors.append(TemperatureLogitsWarper(p.temperature))
    if p.top_k:
        processors.append(TopKLogitsWarper(p.top_k))
    if p.top_p < 1:
        processors.append(TopPLogitsWarper(p.top_p))
    if p.min_p:
        processors.append(MinPLogitsWarper(p.min_p))
    return processors


def wanted(logits: Float[Tensor, "1 vocab"], case: Case) -> Float[Tensor, " vocab"]:
    ids = torch.tensor([[*case.prompt, *case.reply]], dtype=torch.long)
    return chain(case)(ids, logits.double())[0].softmax(-1)


def found(logits: Float[Tensor, "row vocab"], cases: Sequence[Case]) -> Float[Tensor, "row vocab"]:
    """The sampler's own distributions of a batch."""
    result = torch.zeros(logits.shape, dtype=torch.float64)
    with adjusted(logits, [case.chooser().adjustments for case in cases]):
        for kept in filtered(logits, [case.params for case in cases]):
            shares = kept.weights.double() / kept.weights.double().sum(-1, keepdim=True)
            columns = torch.arange(shares.shape[1]).expand(shares.shape) if kept.tokens is None else kept.tokens
            result[torch.tensor(kept.rows)[:, None], columns] = shares
    return result


def assert_equal(found: Float[Tensor, " vocab"], wanted: Float[Tensor, " vocab"]) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


def random_logits(vocab: int = 300, spread: float = 3.0, rows: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * spread


PROMPT, REPLY = (5, 9, 9, 2, 40), (7, 7, 9, 7, 120)

GRID = [
    Case(rules()),
    Case(rules(temperature=0.4)),
    Case(rules(min_p=0.1)),
    Case(rules(min_p=1.0)),
    Case(rules(min_p=0.02, temperature=2.0)),
    Case(rules(top_p=1e-6)),
    Case(rules(top_p=0.97, temperature=3.0)),
    Case(rules(top_k=1)),
    Case(rules(top_k=CANDIDATES)),
    Case(rules(top_k=10**6)),
    Case(rules(top_k=50, top_p=0.7, min_p=0.05, temperature=1.4)),
    Case(rules(temperature=1e-4, top_p=0.9)),
    Case(rules(repetition_penalty=1.3), PROMPT, REPLY),
    Case(rules(repetition_penalty=0.7, top_p=0.8), PROMPT, REPLY),
    Case(rules(presence_penalty=1.5), PROMPT, REPLY),
    Case(rules(frequency_penalty=-0.6, min_p=0.01), PROMPT, REPLY),
    Case(rules(logit_bias={3: 5.0, 4: -100.0, 299: 0.5})),
    Case(rules(min_tokens=6, logit_bias={2: 100.0}), PROMPT, REPLY),
    Case(rules(min_tokens=5, logit_bias={2: 100.0}), PROMPT, REPLY),
    Case(
        rules(
            logit_bias={7: 2.0, 2: 3.0, 11: -4.0},
            repetition_penalty=1.8,
            presence_penalty=-0.5,
            frequency_penalty=0.7,
            min_tokens=20,
            temperature=0.8,
            top_k=90,
            top_p=0.95,
            min_p=0.003,
        ),
        PROMPT,
        REPLY,
    ),
]


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_the_distribution_is_that_of_transformers_processors(spread: float) -> None:
    logits = random_logits(spread=spread, rows=len(GRID))
    before = logits.clone()
    together = found(logits, GRID)
    assert torch.equal(logits, before)
    for row, case in enumerate(GRID):
        assert_equal(together[row], wanted(before[row : row + 1], case))


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


PROMPTS = st.lists(st.integers(0, 19), max_size=8).map(tuple)
REPLIES = st.lists(st.integers(0, 19).filter(lambda token: token not in ENDS), max_size=8).map(tuple)
"""No reply goes on after an end token."""
CASES = st.builds(
    Case,
    st.builds(
        rules,
        temperature=numbers(0.05, 4.0) | st.just(1.0),
        top_k=st.just(0) | st.integers(1, 25),
        top_p=st.just(1.0) | numbers(1e-4, 1.0),
        min_p=st.just(0.0) | numbers(0.0, 1.0),
        presence_penalty=numbers(-2.0, 2.0),
        frequency_penalty=numbers(-2.0, 2.0),
        repetition_penalty=st.just(1.0) | numbers(0.25, 4.0),
        logit_bias=st.dictionaries(st.integers(0, 19), numbers(-100.0, 100.0), max_size=3),
        min_tokens=st.integers(0, 8),
    ),
    PROMPTS,
    REPLIES,
)


def nudged(case: Case, share: float) -> Case:
    p = case.params
    return replace(case, params=replace(p, top_p=min(1.0, p.top_p * share), min_p=min(1.0, p.min_p * share)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    case=CASES,
    logits=st.lists(st.integers(-60, 60).map(lambda n: n / 4), min_size=20, max_size=20, unique=True),
)
def test_any_combination_of_rules_is_transformers(case: Case, logits: list[float]) -> None:
    row = torch.tensor([logits])
    oracle = wanted(row, case)
    for share in (1 - BORDER, 1 + BORDER):
        assume(torch.equal(wanted(row, nudged(case, share)) > 0, oracle > 0))
    assert_equal(found(row, [case])[0], oracle)


def test_tokens_that_tie_with_the_last_of_top_k_stay() -> None:
    """Also where the ties reach beyond the first look at the best few."""
    tied = torch.zeros(1, 400)
    tied[0, 17] = 3.0
    for case in (Case(rules(top_k=3)), Case(rules(top_k=3, top_p=0.5)), Case(rules(top_k=3, min_p=0.04))):
        probabilities, oracle = found(tied, [case])[0], wanted(tied, case)
        # Which of the tied tokens top_p drops is nobody's promise: how many is.
        assert_equal(probabilities.sort().values, oracle.sort().values)
    assert int((found(tied, [Case(rules(top_k=3))]) > 0).sum()) == 400


def test_all_but_one_token_biased_away() -> None:
    logits = random_logits(vocab=12, spread=0.5)
    case = Case(rules(logit_bias={t: -100.0 for t in range(12) if t != 4}))
    assert_equal(found(logits, [case])[0], wanted(logits, case))
    assert float(found(logits, [case])[0, 4]) == pytest.approx(1.0)


@pytest.mark.parametrize("temperature", [1e-3, 1e-12, 1e-60])
def test_towards_temperature_0_sampling_becomes_greedy(temperature: float) -> None:
    logits = random_logits()
    probabilities = found(logits, [Case(rules(temperature=temperature))])[0]
    assert float(probabilities[logits.argmax()]) == 1.0


def test_repetition_penalty_by_hand() -> None:
    """Positive logits are divided, negative ones multiplied, once however often a token occurred."""
    logits = torch.tensor([[4.0, -4.0, 2.0, 0.0]])
    case = Case(rules(repetition_penalty=2.0), prompt=(0, 1, 1, 3), reply=(1, 0))
    with adjusted(logits, [case.chooser().adjustments]):
        assert logits.tolist() == [[2.0, -8.0, 2.0, 0.0]]
    assert logits.tolist() == [[4.0, -4.0, 2.0, 0.0]]


def test_presence_and_frequency_penalties_by_hand() -> None:
    """They count the reply alone, and the frequency penalty each occurrence."""
    logits = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    case = Case(rules(presence_penalty=0.5, frequency_penalty=0.25), prompt=(0, 0, 2), reply=(1, 2, 1, 1))
    with adjusted(logits, [case.chooser().adjustments]):
        assert logits.tolist() == [[1.0, 1.0 - 0.5 - 3 * 0.25, 1.0 - 0.5 - 0.25, 1.0]]


def test_end_tokens_are_impossible_until_min_tokens_and_then_as_before() -> None:
    chooser = Case(rules(min_tokens=3, logit_bias={2: 1.0}, frequency_penalty=1.0), prompt=(2,)).chooser()
    seen = []
    for _ in range(4):
        logits = torch.zeros(1, 5)
        with adjusted(logits, [chooser.adjustments]):
            seen.append(logits[0, :4].tolist())
        chooser.note(3)
    assert seen == [
        [0.0, -math.inf, -math.inf, 0.0],
        [0.0, -math.inf, -math.inf, -1.0],
        [0.0, -math.inf, -math.inf, -2.0],
        [0.0, 0.0, 1.0, -3.0],
    ]


def test_a_long_reply_outgrows_the_first_columns() -> None:
    """Counts of hundreds of different tokens, against the dense formula."""
    reply = tuple(torch.randint(0, 300, (700,), generator=torch.Generator().manual_seed(3)).tolist())
    case = Case(rules(presence_penalty=0.3, frequency_penalty=0.01, repetition_penalty=1.1), PROMPT, reply)
    logits = random_logits()
    assert_equal(found(logits, [case])[0], wanted(logits, case))


def test_rows_without_rules_are_left_alone() -> None:
    logits = random_logits(rows=3)
    before = logits.clone()
    cases = [Case(rules()), Case(rules(logit_bias={5: 9.0})), Case(rules(min_p=0.5))]
    with adjusted(logits, [case.chooser().adjustments for case in cases]):
        changed = logits != before
    assert changed.nonzero().tolist() == [[1, 5]]
    assert [case.chooser().adjustments is None for case in cases] == [True, False, True]
    assert torch.equal(logits, before)


def test_greedy_choices_obey_bias_penalties_and_min_tokens() -> None:
    logits = torch.tensor([[0.0, 5.0, 4.0, 3.0, 2.5]])
    for changes, token in (
        ({}, 1),
        ({"min_tokens": 1}, 3),
        ({"min_tokens": 1, "logit_bias": {4: 1.0}}, 4),
        ({"min_tokens": 1, "repetition_penalty": 2.0}, 4),
        ({"top_k": 1, "min_p": 1.0, "logit_bias": {0: 50.0}}, 0),
    ):
        chooser = Case(rules(temperature=0, **changes), prompt=(3,)).chooser()
        choice = choose(logits, [chooser])[0]
        assert choice.token_id == token
        assert choice.logprob == pytest.approx(float(logits.log_softmax(-1)[0, token]), abs=1e-6)


def test_a_row_in_which_every_possible_token_is_forbidden_gives_none() -> None:
    logits = torch.full((2, 5), -math.inf)
    logits[:, 1:3] = 1.0
    for temperature in (0.0, 1.0):
        cases = [Case(rules(temperature=temperature, min_tokens=1)), Case(rules(temperature=temperature))]
        choices = choose(logits, [case.chooser() for case in cases])
        assert choices[0] is None
        assert choices[1].token_id in (1, 2)


@pytest.mark.parametrize(
    ("changes", "percentile"),
    [
        ({"min_p": 0.2}, 18.5),
        ({"logit_bias": {0: -1.5, 5: 1.0}, "presence_penalty": 1.0, "repetition_penalty": 1.5}, 24.4),
        ({"temperature": 1.7, "top_k": 6, "top_p": 0.95, "frequency_penalty": 0.4}, 20.6),
    ],
)
def test_drawn_tokens_follow_the_distribution(changes: dict[str, object], percentile: float) -> None:
    """Chi-square over 8 tokens; the limit is at or above the 99.9th percentile for the tokens that are possible."""
    logits = random_logits(vocab=8, spread=1.0, seed=5)
    case = Case(rules(**changes | {"seed": 12}), prompt=(1, 2), reply=(3, 3, 4))
    oracle = wanted(logits, case)
    chooser, draws = case.chooser(), 4000
    drawn = [c.token_id for _ in range(draws // 100) for c in choose(logits.repeat(100, 1), [chooser] * 100)]
    counts = torch.bincount(torch.tensor(drawn), minlength=8).double()
    possible = oracle > 0
    assert not counts[~possible].any()
    expected = oracle[possible] * draws
    assert float(expected.min()) > 5
    assert float(((counts[possible] - expected) ** 2 / expected).sum()) < percentile
