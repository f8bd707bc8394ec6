"""The tracing benchmark's arithmetic, and one round of it on tiny models."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_model
from traced import make_cases

from benchmarks.errors import TracedEffectsError
from benchmarks.tracing import __main__ as bench
from benchmarks.tracing.contenders import CONTENDERS
from benchmarks.tracing.figures import Agreement, Screened, Timed, agreement_figures, heads_figures, screen_figures
from benchmarks.tracing.subjects import Subject
from breakers.tracing.screening import ScreeningConfig


def test_heads_figures_by_hand() -> None:
    def timed(*seconds: float) -> list[Timed]:
        return [Timed(seconds=each, passes=7.0) for each in seconds]

    figures = heads_figures({"ours": timed(1, 2, 4), "transformer_lens": timed(6, 8, 12)})
    assert figures["heads.ours.seconds"] == 2
    assert figures["heads.ours.seconds.least"] == 1
    assert figures["heads.transformer_lens.seconds.most"] == 12
    assert figures["heads.transformer_lens.passes"] == 7
    # 6, 4 and 3 times.
    assert figures["heads.times_as_fast_as.transformer_lens"] == 4


def test_screen_figures_by_hand() -> None:
    screened = [Screened(seconds=each, passes=50.0) for each in (2.0, 5.0, 9.0)]
    # 10 s for heads, and 202 passes in 20.2 s: 0.1 s for each of 1,000 neurons.
    figures = screen_figures(screened, 10.0, 20.2, 200, 1000)
    assert figures["screen.transformer_lens.seconds.extrapolated"] == pytest.approx(110)
    assert figures["screen.times_as_fast"] == pytest.approx(22)


def test_agreement_figures_by_hand() -> None:
    exact = torch.tensor([4.0, 3.0, 2.0, 1.0])
    config = ScreeningConfig(top_heads=1, top_neurons=2, factor=1.0, spare=1)
    heads = Agreement(estimated=torch.tensor([3.0, 4.0, 2.0, 1.0]), exact=exact)
    neurons = Agreement(estimated=torch.tensor([1.0, 4.0, 3.0, 2.0]), exact=exact)
    figures = agreement_figures(heads, neurons, config)
    # The best head is second by estimate: missed among one, found among two.
    assert figures["heads.recall"] == 0
    assert figures["heads.recall.verified"] == 1
    # Of the two best neurons the first is last by estimate: not among three.
    assert figures["neurons.recall.verified"] == 0.5
    assert figures["screen.recall"] == pytest.approx((1 * 1 + 2 * 0.5) / 3)
    assert figures["heads.rank_correlation"] == pytest.approx(0.8)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_contenders_agree_on_a_tiny_model(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "demo_cases", lambda count, behaviour: make_cases(count, vocab=80))
    subject = Subject(model=lambda: tiny_model(model_type), cases=3, rounds=1, sampled_neurons=4, exact_neurons=True)
    figures = bench.measure(subject)
    assert figures["heads.count"] == 12
    assert figures["heads.transformer_lens.passes"] == figures["heads.nnsight.passes"] == 2 * 14 * 3
    assert figures["heads.ours.passes"] < figures["heads.nnsight.passes"]
    assert {f"heads.{name}.seconds" for name in CONTENDERS} <= set(figures)
    assert 0 <= figures["screen.recall"] <= 1


def test_a_peer_that_finds_other_effects_is_refused() -> None:
    found = {"ours": torch.zeros(2, 3), "nnsight": torch.full((2, 3), 0.01)}
    with pytest.raises(TracedEffectsError, match=r"nnsight.s effects of heads are up to 0\.010000 nats"):
        bench.check_effects(found)
