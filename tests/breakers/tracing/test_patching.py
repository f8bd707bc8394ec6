from __future__ import annotations

import pytest
import torch
from traced import make_cases

from breakers.errors import NonFiniteError, TracingError
from breakers.tracing.effects import head_site
from breakers.tracing.noise import noise_floor, shuffled_cases
from breakers.tracing.patches import PatchSource, TraceCase
from breakers.tracing.patching import StopRule, exact_effects, settled_share

SITES = tuple(head_site(layer, head) for layer in range(2) for head in range(4))


class Given:
    """A measure whose effects are a table of literals: (layer, head) -> effect, the same for every case but noise."""

    def __init__(self, effects: dict, noise: float = 0.0) -> None:
        self.effects, self.noise = effects, noise
        self.seen: list[TraceCase] = []
        self._draw = torch.Generator().manual_seed(0)

    def __call__(self, cases, patches):
        self.seen += cases
        rows = []
        for patch in patches:
            lowered = sum(self.effects.get((site.layer, site.head), 0.0) for site in patch)
            spread = torch.randn(len(cases), generator=self._draw) * self.noise if patch else torch.zeros(len(cases))
            rows.append(3.0 - lowered + spread)
        return torch.stack(rows)


def test_effects_are_the_unmodified_measure_less_the_patched_one() -> None:
    found = exact_effects(Given({(1, 2): 1.5, (0, 3): -0.5}), make_cases(5), SITES, batch=2)
    assert found.by_case.shape == (5, 8)
    assert found.ranked()[0] == (head_site(1, 2), 1.5)
    assert found.ranked()[-1] == (head_site(0, 3), -0.5)
    assert found.standard_error.tolist() == [0.0] * 8


def test_stops_when_the_top_is_settled_and_says_how_far_it_is() -> None:
    measure, told = Given({(1, 2): 2.0, (0, 1): 1.5}, noise=0.3), []
    stop = StopRule(top=2, least=8)
    found = exact_effects(measure, make_cases(40), SITES, batch=4, stop=stop, on_progress=told.append)
    assert [step.cases for step in told] == [4, 8]
    assert told[0].settled is None
    assert told[1].settled >= 0.95
    assert found.by_case.shape == (8, 8)


def test_goes_on_to_the_last_case_while_the_top_is_open() -> None:
    found = exact_effects(Given({}, noise=1.0), make_cases(12), SITES, batch=4, stop=StopRule(top=2, least=4))
    assert len(found.by_case) == 12


def test_settled_share_of_clear_open_and_few_sites() -> None:
    clear = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.1, -0.1]])
    assert settled_share(clear, StopRule(top=1)) == 1.0
    # Of the four ways to draw two of two cases, the first site wins one, the second one, and two are ties.
    open_ = torch.tensor([[1.0, 0.0, -9.0], [0.0, 1.0 - 1e-6, -9.0]])
    assert settled_share(open_, StopRule(top=1, resamples=4000)) == pytest.approx(0.75, abs=0.03)
    assert settled_share(clear, StopRule(top=3)) == 1.0


def test_a_broken_case_is_named_by_its_place_among_all() -> None:
    def measure(cases, patches):
        if len(measure.calls) == 2:
            raise NonFiniteError("layer 1 attention_out_input", 1)
        measure.calls.append(cases)
        return torch.zeros(len(patches), len(cases))

    measure.calls = []
    with pytest.raises(NonFiniteError, match="of case 7 holds NaN"):
        exact_effects(measure, make_cases(9), SITES, batch=3)


def test_shuffled_cases_take_the_contrast_of_another_case() -> None:
    cases = make_cases(9)
    contrasts = {case.contrast for case in cases}
    for case, shuffled in zip(cases, shuffled_cases(cases, PatchSource.CONTRAST), strict=True):
        assert shuffled.pair == case.pair
        assert len(shuffled.contrast) == len(case.prompt)
        partners = [c for c in contrasts if c[-len(case.prompt) :] == shuffled.contrast[-len(c) :]]
        assert partners
        assert partners != [case.contrast]


def test_shuffled_cases_take_the_neutral_completion_of_another_case() -> None:
    cases = make_cases(9)
    replies = [case.pair.neutral.reply for case in shuffled_cases(cases, PatchSource.COMPLETION)]
    assert sorted(replies) == sorted(case.pair.neutral.reply for case in cases)
    assert all(reply != case.pair.neutral.reply for reply, case in zip(replies, cases, strict=True))


def test_noise_floor_is_a_quantile_of_the_absolute_effects_of_drawn_components() -> None:
    measure = Given({(layer, head): 0.1 * head for layer in range(2) for head in range(4)})
    floor = noise_floor(measure, make_cases(6), SITES, source=PatchSource.CONTRAST, components=8, quantile=1.0)
    assert floor.level == pytest.approx(0.3)
    assert set(floor.effects.sites) == set(SITES)
    assert (
        len(noise_floor(measure, make_cases(6), SITES, source=PatchSource.CONTRAST, components=3).effects.sites) == 3
    )


def test_what_cannot_be_traced_is_refused() -> None:
    with pytest.raises(TracingError, match="0 cases and 8 sites"):
        exact_effects(Given({}), [], SITES)
    with pytest.raises(TracingError, match="wanted at least two"):
        shuffled_cases(make_cases(1), PatchSource.CONTRAST)
    with pytest.raises(TracingError, match="nothing to shuffle"):
        shuffled_cases(make_cases(3), PatchSource.MEAN)
    with pytest.raises(TracingError, match="top=0"):
        StopRule(top=0)
