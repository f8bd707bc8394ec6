"""Screening: the rule for candidates, their verification, and the two figures of agreement."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from tiny import tiny_model
from traced import make_cases
from traces import made_up_effects

from breakers.architectures import resolve_sites
from breakers.errors import TracingError
from breakers.sites import Component
from breakers.tracing.attribution import attribute
from breakers.tracing.effects import head_site, neuron_site
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig
from breakers.tracing.patching import exact_effects
from breakers.tracing.screening import ScreeningConfig, candidates, rank_correlation, screen, top_recall
from breakers.tracing.sources import Sources

SMALL = ScreeningConfig(top_heads=2, top_neurons=1, factor=1.5, spare=1)


def test_the_rule_is_a_share_and_some_more() -> None:
    assert [SMALL.candidates(kind) for kind in (Component.HEAD, Component.NEURON)] == [4, 3]
    heads_only = ScreeningConfig(top_heads=10, top_neurons=0)
    assert heads_only.candidates(Component.HEAD) == 20
    assert heads_only.candidates(Component.NEURON) == 0


def test_candidates_are_the_best_by_estimate() -> None:
    assert candidates(made_up_effects(), SMALL) == [
        head_site(1, 1),
        head_site(0, 0),
        head_site(1, 0),
        head_site(0, 2),
        neuron_site(0, 3),
        neuron_site(1, 1),
        neuron_site(0, 1),
    ]
    every = ScreeningConfig(top_heads=100, top_neurons=100)
    assert len(candidates(made_up_effects(), every)) == 13


def test_what_is_verified_is_exact() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    cases = make_cases(4)
    config = PatchConfig()
    estimated = attribute(model, sites, Sources(model, sites, config), cases).table()
    measure = LeadMeasure(model, sites, config)
    result = screen(measure, cases, estimated, SMALL)
    assert list(result.exact.sites) == candidates(estimated, SMALL)
    alone = exact_effects(measure, cases, result.exact.sites)
    torch.testing.assert_close(result.exact.by_case, alone.by_case, atol=1e-5, rtol=0)
    heads = [float(estimated.heads.mean[site.layer, site.head]) for site in result.exact.sites[:4]]
    assert estimated.neurons is not None
    neurons = [float(estimated.neurons.mean[site.layer, site.neurons[0]]) for site in result.exact.sites[4:]]
    expected = spearmanr(heads + neurons, alone.mean).statistic
    assert result.rank_correlation == pytest.approx(float(expected), abs=1e-6)


def test_wanting_nothing_is_refused() -> None:
    with pytest.raises(TracingError, match="0 heads and 0 neurons"):
        ScreeningConfig(top_heads=0, top_neurons=0)
    with pytest.raises(TracingError, match=r"factor is 0\.5"):
        ScreeningConfig(factor=0.5)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_rank_correlation_agrees_with_scipy(values: list[tuple[int, int]]) -> None:
    a, b = (torch.tensor(side, dtype=torch.float32) for side in zip(*values, strict=True))
    found = rank_correlation(a, b)
    if len(set(a.tolist())) == 1 or len(set(b.tolist())) == 1:
        assert found is None
    else:
        assert found == pytest.approx(float(spearmanr(a, b).statistic), abs=1e-9)


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0.1, 0.2, 0.3])) == pytest.approx(1)
    assert rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([3.0, 2.0, 1.0])) == pytest.approx(-1)
    # 1 - 6 * (1 + 1 + 0) / (3 * 8)
    assert rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 3.0])) == pytest.approx(0.5)
    assert rank_correlation(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])) is None


def test_top_recall_by_hand() -> None:
    exact = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    estimates = torch.tensor([5.0, 1.0, 4.0, 3.0, 2.0])
    assert top_recall(estimates, exact, 1) == 1
    assert top_recall(estimates, exact, 2) == 0.5
    assert top_recall(estimates, exact, 2, candidates=4) == 0.5
    assert top_recall(estimates, exact, 2, candidates=99) == 1
    with pytest.raises(TracingError, match="the top 6 of 5"):
        top_recall(estimates, exact, 6)
