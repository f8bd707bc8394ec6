"""The trace stage: from cases and a model to the directory that says which components cause the behaviour."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedModel

from breakers.architectures import ModelSites, resolve_sites
from breakers.bundles.manifest import BaseManifest, SiteManifest
from breakers.errors import TracingError
from breakers.fingerprint import fingerprint_model
from breakers.sites import Component, Site
from breakers.tracing.artifact import UNWRITTEN, TraceArtifact, save_trace
from breakers.tracing.attribution import AttributionConfig, attribute, traced_points
from breakers.tracing.circuit_file import (
    AttributionManifest,
    CircuitFile,
    ComponentManifest,
    CostManifest,
    MeasureKind,
    MeasureManifest,
    NoiseFloorManifest,
    PairsManifest,
    PatchManifest,
    TraceMethod,
)
from breakers.tracing.effects import ComponentEffects, head_site, neuron_site
from breakers.tracing.effects_file import EffectGrid, EffectsTable, index_of, table_of
from breakers.tracing.figures import trace_figures, trace_page
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import HarmMeasure, Judge
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.noise import noise_floor
from breakers.tracing.patches import PatchConfig, PatchSource, TraceCase
from breakers.tracing.patching import PatchingProgress, StopRule, exact_effects
from breakers.tracing.screening import ScreeningConfig, screen
from breakers.tracing.sources import OffsetMeans, Sources, neutral_means

Progress = Callable[[str, int, int], None]
"""Told of (what is being done, cases done, cases)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """What to trace, and how."""

    patch: PatchConfig = field(default_factory=PatchConfig)
    measure: MeasureKind = MeasureKind.LEAD
    method: TraceMethod = TraceMethod.SCREEN
    top: ScreeningConfig = field(default_factory=ScreeningConfig)
    """How many of the best are listed; for method `screen` also how many are verified."""
    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    components: tuple[Component, ...] = (Component.HEAD, Component.NEURON)
    """Kinds to trace; neurons are left out of models that have none."""
    stop: StopRule | None = None
    """When exact patching may leave cases out; None uses all."""
    noise_components: int = 16
    """Drawn of each kind for the noise floor, by exact patching; 0 for none."""
    seed: int = 0
    """Of the order of the cases and of the noise floor."""
    images: bool = True
    """Whether PNGs are drawn, which need matplotlib, beside the page."""
    command: str = "scalpel trace"

    def __post_init__(self) -> None:
        if self.method is TraceMethod.ATTRIBUTION and self.measure is MeasureKind.HARM:
            raise TracingError("H of generated text has no gradient: method attribution wants measure lead")
        if not self.components or not {*self.components} <= {Component.HEAD, Component.NEURON}:
            found = ", ".join(self.components) or "nothing"
            raise TracingError(f"{found} is to be traced; wanted head, neuron or both")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSubject:
    """The model and the cases, with what is recorded of where they come from."""

    model: PreTrainedModel
    """In evaluation mode."""
    model_id: str
    cases: Sequence[TraceCase]
    behaviour: str
    pairs_sha256: str
    """Of the whole file that the cases were drawn from."""
    split: str | None = None
    judge: Judge | None = None
    """For measure `harm`."""
    generation: GenerationConfig | None = None
    """For measure `harm`."""


def run_trace(
    config: TraceConfig, subject: TraceSubject, out: Path, progress: Progress | None = None
) -> TraceArtifact:
    """Trace, and write the artifact; nothing is written before everything is measured.

    Args:
        config: how.
        subject: what.
        out: the artifact's directory.
        progress: told as cases are done.

    Raises:
        TracingError: cases or a configuration that cannot be traced, or a place that cannot be written.
        NonFiniteError: activations that are not finite.
        UnsupportedModelError: the model has no sites that we know.
    """
    artifact = _Trace(config, subject, progress or (lambda _what, _done, _of: None)).run()
    return save_trace(artifact, out, trace_figures if config.images else trace_page)


class _Trace:
    """One run of the stage."""

    def __init__(self, config: TraceConfig, subject: TraceSubject, progress: Progress) -> None:
        if not subject.cases:
            raise TracingError("there are no cases to trace; wanted at least one")
        self._config = config
        self._subject = subject
        self._progress = progress
        self._sites = resolve_sites(subject.model)
        self._cases = list(subject.cases)
        # With a stop rule the first cases speak for the rest.
        random.Random(config.seed).shuffle(self._cases)
        self._means = self._neutral_means()
        self._measure = self._build_measure()

    def run(self) -> TraceArtifact:
        """Everything but the writing."""
        estimates, spent = None, 0.0
        if self._config.method is not TraceMethod.EXACT:
            sources = Sources(self._subject.model, self._sites, self._config.patch, self._means)
            found = attribute(
                self._subject.model,
                self._sites,
                sources,
                self._cases,
                self._config.attribution,
                lambda done, of: self._progress("estimating", done, of),
            )
            estimates, spent = self._chosen(found.table()), found.forward_passes
        exact, agreement = self._exact(estimates)
        if exact is not None:
            # A stop rule may have left the last ones out.
            self._cases = self._cases[: len(exact.by_case)]
        table = table_of(self._sites, exact, estimates if self._config.measure is MeasureKind.LEAD else None)
        return TraceArtifact(circuit=self._circuit(table, spent, agreement, exact is not None), effects=table)

    def _exact(self, estimates: EffectsTable | None) -> tuple[ComponentEffects | None, float | None]:
        """Exact effects, and how far estimates agree with them."""
        if self._config.method is TraceMethod.ATTRIBUTION:
            return None, None
        if estimates is None:
            every = all_components(self._sites, self._config.components)
            stop = self._config.stop
            return exact_effects(self._measure, self._cases, every, stop=stop, on_progress=self._patched), None
        found = screen(
            self._measure,
            self._cases,
            estimates,
            self._config.top,
            stop=self._config.stop,
            on_progress=self._patched,
        )
        return found.exact, found.rank_correlation

    def _circuit(
        self, table: EffectsTable, estimating: float, agreement: float | None, verified: bool
    ) -> CircuitFile:
        config, subject = self._config, self._subject
        baseline = float(self._measure(self._cases, [()]).mean())
        best = best_components(table, config.top, exact_only=verified)
        floor = self._noise_floor({component.site.site() for component in best})
        passes = self._measure.cost.total
        judge = subject.judge
        harm = config.measure is MeasureKind.HARM
        return CircuitFile(
            format=1,
            base=BaseManifest(id=subject.model_id, fingerprint=fingerprint_model(subject.model)),
            behaviour=subject.behaviour,
            pairs=PairsManifest(sha256=subject.pairs_sha256, cases=len(self._cases), split=subject.split),
            patch=PatchManifest(source=config.patch.source, positions=config.patch.positions),
            measure=MeasureManifest(
                kind=config.measure,
                scorer=judge.scorer.name if harm and judge else None,
                max_new_tokens=subject.generation.max_new_tokens if harm and subject.generation else None,
            ),
            baseline=baseline,
            method=config.method,
            attribution=self._attribution(agreement),
            components=best,
            noise_floor=floor,
            cost=CostManifest(forward_passes=estimating + passes, attribution=estimating, exact=passes),
            seeds=[config.seed],
            command=config.command,
            effects_sha256=UNWRITTEN,
        )

    def _attribution(self, agreement: float | None) -> AttributionManifest | None:
        if self._config.method is TraceMethod.EXACT:
            return None
        how = self._config.attribution
        return AttributionManifest(heads=how.heads, neurons=how.neurons, steps=how.steps, rank_correlation=agreement)

    def _noise_floor(self, best: set[Site]) -> NoiseFloorManifest | None:
        """None where none is asked for, or nothing can be shuffled.

        The best are not drawn: another pair's neutral activation takes the behaviour away as well, so a component
        that causes it has a real effect there.
        """
        config = self._config
        if not config.noise_components or config.patch.source is PatchSource.MEAN or len(self._cases) < 2:
            return None
        self._progress("measuring noise", 0, 1)
        levels: dict[Component, float] = {}
        quantile = 0.95
        for component in config.components:
            rest = [site for site in all_components(self._sites, (component,)) if site not in best]
            if rest:
                levels[component] = noise_floor(
                    self._measure,
                    self._cases,
                    rest,
                    source=config.patch.source,
                    components=config.noise_components,
                    quantile=quantile,
                    seed=config.seed,
                ).level
        self._progress("measuring noise", 1, 1)
        return NoiseFloorManifest(
            head=levels.get(Component.HEAD),
            neuron=levels.get(Component.NEURON),
            quantile=quantile,
            components=config.noise_components,
        )

    def _build_measure(self) -> LeadMeasure | HarmMeasure:
        subject = self._subject
        if self._config.measure is MeasureKind.LEAD:
            return LeadMeasure(subject.model, self._sites, self._config.patch, means=self._means)
        if subject.judge is None or subject.generation is None:
            raise TracingError("measure harm has no judge; wanted a scorer, and how replies are generated")
        return HarmMeasure(
            subject.model, self._sites, self._config.patch, subject.generation, subject.judge, means=self._means
        )

    def _neutral_means(self) -> OffsetMeans | None:
        if self._config.patch.source is not PatchSource.MEAN:
            return None
        samples = [case.pair.neutral for case in self._cases]
        return neutral_means(self._subject.model, self._sites, samples, traced_points(self._sites))

    def _chosen(self, table: EffectsTable) -> EffectsTable:
        """Only the kinds that are to be traced."""
        empty = {g.component: EffectGrid.empty(g.component, *g.mean.shape) for g in table.grids}
        kept = {g.component: g if g.component in self._config.components else empty[g.component] for g in table.grids}
        return EffectsTable(heads=kept[Component.HEAD], neurons=kept.get(Component.NEURON))

    def _patched(self, progress: PatchingProgress) -> None:
        settled = "" if progress.settled is None else f", top settled in {progress.settled:.0%} of resamples"
        self._progress(f"patching{settled}", progress.cases, progress.of)


def all_components(sites: ModelSites, components: Sequence[Component]) -> list[Site]:
    """Every head and every dense neuron of a model, of these kinds."""
    found: list[Site] = []
    if Component.HEAD in components:
        found += [head_site(layer, head) for layer in range(sites.layers) for head in range(sites.heads)]
    if Component.NEURON in components:
        widths = sorted(sites.mlp_widths.items())
        found += [neuron_site(layer, neuron) for layer, width in widths for neuron in range(width)]
    return found


def best_components(table: EffectsTable, top: ScreeningConfig, *, exact_only: bool) -> list[ComponentManifest]:
    """The best of each kind, merged by effect, the highest first.

    Args:
        table: effects.
        top: how many of each kind.
        exact_only: leave estimates out: they cannot be compared with verified effects.

    Raises:
        TracingError: there are none.
    """
    found = []
    for grid in table.grids:
        ranked = (site for site, _ in grid.ranked() if not exact_only or bool(grid.exact[index_of(site)]))
        found += [_component(grid, site) for site in itertools.islice(ranked, top.top(grid.component))]
    if not found:
        raise TracingError("no component was traced; wanted at least one head or neuron")
    return sorted(found, key=lambda component: -component.effect)


def _component(grid: EffectGrid, site: Site) -> ComponentManifest:
    at = index_of(site)
    return ComponentManifest(
        site=SiteManifest.of(site),
        effect=float(grid.mean[at]),
        standard_error=float(grid.standard_error[at]),
        exact=bool(grid.exact[at]),
    )
