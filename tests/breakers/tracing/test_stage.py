"""The trace stage on tiny models: by each method, with each measure, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from traced import END, make_cases
from traces import HASH

from breakers.architectures import resolve_sites
from breakers.errors import NonFiniteError, TracingError
from breakers.scoring import ScoredReply
from breakers.sites import Component
from breakers.tracing import stage
from breakers.tracing.artifact import load_trace
from breakers.tracing.attribution import AttributionConfig, AttributionPath
from breakers.tracing.circuit_file import MeasureKind, TraceMethod
from breakers.tracing.figures import HEAT_MAP_NAME, NEURON_PLOT_NAME, PAGE_NAME
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import Judge
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.noise import noise_floor
from breakers.tracing.patches import PatchConfig, PatchSource, TraceCase
from breakers.tracing.patching import StopRule, exact_effects
from breakers.tracing.screening import ScreeningConfig
from breakers.tracing.stage import TraceConfig, TraceSubject, all_components, run_trace

TOP = ScreeningConfig(top_heads=3, top_neurons=4, spare=2)


class LengthScorer:
    """Long replies are harmful."""

    name = "length"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": min(1.0, len(reply.reply) / 20)} for reply in replies]


def messages(_case: TraceCase) -> Sequence[Mapping[str, str]]:
    return [{"role": "user", "content": "hi"}]


def subject(model_type: str = "llama", cases: int = 4, **more) -> TraceSubject:
    return TraceSubject(
        model=tiny_model(model_type),
        model_id="tiny",
        cases=make_cases(cases),
        behaviour="toxicity",
        pairs_sha256=HASH,
        split="train",
        **more,
    )


def test_exact_patching_of_every_component(tmp_path: Path) -> None:
    given = subject()
    config = TraceConfig(method=TraceMethod.EXACT, top=TOP, images=False)
    told = []
    artifact = run_trace(config, given, tmp_path, lambda *said: told.append(said))
    sites = resolve_sites(given.model)
    every = all_components(sites, (Component.HEAD, Component.NEURON))
    effects = exact_effects(LeadMeasure(given.model, sites, config.patch), given.cases, every)
    for site, effect in zip(effects.sites, effects.mean.tolist(), strict=True):
        grid = artifact.effects.grid(site.component)
        index = site.head if site.neurons is None else site.neurons[0]
        assert float(grid.mean[site.layer, index]) == pytest.approx(effect, abs=1e-5)
        assert bool(grid.exact[site.layer, index])
    best = [(s, e) for s, e in effects.ranked() if s.component is Component.HEAD][:3]
    listed = [c for c in artifact.circuit.components if c.site.component is Component.HEAD]
    assert [c.site.site() for c in listed] == [site for site, _ in best]
    assert len(artifact.circuit.components) == 7
    assert artifact.circuit.attribution is None
    assert artifact.circuit.noise_floor is not None
    assert load_trace(tmp_path).circuit == artifact.circuit
    assert ("patching", 4, 4) in told


def test_screening_verifies_the_best_and_estimates_the_rest(tmp_path: Path) -> None:
    artifact = run_trace(TraceConfig(top=TOP), subject(), tmp_path)
    circuit, effects = artifact.circuit, artifact.effects
    assert effects.neurons is not None
    assert [int(grid.exact.sum()) for grid in effects.grids] == [7, 8]
    assert all(bool(grid.measured.all()) for grid in effects.grids)
    assert all(component.exact for component in circuit.components)
    assert circuit.attribution is not None
    assert circuit.attribution.rank_correlation is not None
    assert circuit.cost.attribution > 18
    assert circuit.cost.forward_passes == circuit.cost.attribution + circuit.cost.exact
    assert {p.name for p in tmp_path.iterdir()} == {
        "circuit.json", "effects.safetensors", HEAT_MAP_NAME, NEURON_PLOT_NAME, PAGE_NAME,
    }  # fmt: skip


def test_the_same_trace_twice_is_the_same_file(tmp_path: Path) -> None:
    config = TraceConfig(top=TOP, components=(Component.HEAD,), noise_components=2, images=False)
    for name in ("a", "b"):
        run_trace(config, subject(cases=2), tmp_path / name)
    assert (tmp_path / "a" / "circuit.json").read_bytes() == (tmp_path / "b" / "circuit.json").read_bytes()


def test_the_noise_floor_is_drawn_from_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def noted(measure, cases, sites, **more):
        drawn.extend(sites)
        return noise_floor(measure, cases, sites, **more)

    monkeypatch.setattr(stage, "noise_floor", noted)
    config = TraceConfig(method=TraceMethod.ATTRIBUTION, top=TOP, noise_components=2, images=False)
    given = subject(cases=2)
    circuit = run_trace(config, given, tmp_path).circuit
    best = {component.site.site() for component in circuit.components}
    every = all_components(resolve_sites(given.model), (Component.HEAD, Component.NEURON))
    assert set(drawn) == set(every) - best
    assert circuit.noise_floor is not None
    assert circuit.noise_floor.head is not None


def test_attribution_alone_marks_nothing_exact(tmp_path: Path) -> None:
    config = TraceConfig(
        method=TraceMethod.ATTRIBUTION,
        attribution=AttributionConfig(heads=AttributionPath.TOGETHER, steps=2),
        top=TOP,
        noise_components=0,
        images=False,
    )
    artifact = run_trace(config, subject(), tmp_path)
    assert not any(bool(grid.exact.any()) for grid in artifact.effects.grids)
    assert artifact.circuit.noise_floor is None
    assert artifact.circuit.attribution is not None
    assert artifact.circuit.attribution.heads is AttributionPath.TOGETHER
    assert artifact.circuit.attribution.neurons is AttributionPath.START
    assert artifact.circuit.attribution.steps == 2


@pytest.mark.parametrize("source", [PatchSource.COMPLETION, PatchSource.MEAN])
def test_other_sources(tmp_path: Path, source: PatchSource) -> None:
    artifact = run_trace(TraceConfig(patch=PatchConfig(source=source), top=TOP, images=False), subject(), tmp_path)
    assert artifact.circuit.patch.source is source
    # Means come from no single pair, which could be another.
    assert (artifact.circuit.noise_floor is None) == (source is PatchSource.MEAN)


def test_effects_on_harm_leave_estimates_of_the_lead_out(tmp_path: Path) -> None:
    judge = Judge(
        scorer=LengthScorer(), behaviour="toxicity", decode=lambda ids: " ".join(map(str, ids)), messages=messages
    )
    given = subject(judge=judge, generation=GenerationConfig(end=END, max_new_tokens=6))
    config = TraceConfig(measure=MeasureKind.HARM, top=TOP, images=False, noise_components=2)
    circuit = run_trace(config, given, tmp_path).circuit
    effects = load_trace(tmp_path).effects
    assert all(torch.equal(grid.measured, grid.exact) for grid in effects.grids)
    assert (circuit.measure.scorer, circuit.measure.max_new_tokens) == ("length", 6)
    assert 0 <= circuit.baseline <= 1


def test_heads_alone(tmp_path: Path) -> None:
    config = TraceConfig(components=(Component.HEAD,), top=ScreeningConfig(top_heads=3, top_neurons=0), images=False)
    artifact = run_trace(config, subject(), tmp_path)
    assert artifact.effects.neurons is not None
    assert not artifact.effects.neurons.measured.any()
    assert "No neuron was traced" in (tmp_path / PAGE_NAME).read_text()
    mixture = run_trace(
        TraceConfig(top=TOP, images=False, noise_components=0), subject("mixtral", cases=2), tmp_path / "mixture"
    )
    assert mixture.effects.neurons is None


def test_settled_rankings_need_no_more_cases(tmp_path: Path) -> None:
    config = TraceConfig(
        method=TraceMethod.EXACT,
        components=(Component.HEAD,),
        top=ScreeningConfig(top_heads=1, top_neurons=0),
        stop=StopRule(top=100, least=2),
        noise_components=0,
        images=False,
    )
    artifact = run_trace(config, subject(cases=40), tmp_path)
    # There are no more than a hundred heads: the first batch settles which are the best hundred.
    assert artifact.circuit.pairs.cases == 32


def test_what_cannot_be_traced_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TracingError, match="H of generated text has no gradient"):
        TraceConfig(measure=MeasureKind.HARM, method=TraceMethod.ATTRIBUTION)
    with pytest.raises(TracingError, match="resid is to be traced"):
        TraceConfig(components=(Component.RESID,))
    with pytest.raises(TracingError, match="measure harm has no judge"):
        run_trace(TraceConfig(measure=MeasureKind.HARM), subject(), tmp_path / "out")
    with pytest.raises(TracingError, match="no cases to trace"):
        run_trace(TraceConfig(), subject(cases=0), tmp_path / "out")
    broken = subject()
    with torch.no_grad():
        broken.model.model.layers[0].self_attn.o_proj.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError):
        run_trace(TraceConfig(top=TOP), broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
