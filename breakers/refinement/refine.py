"""From ranked components to a circuit and its evidence: search, figures, controls and ablations in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bundles.manifest import BaseManifest, SiteManifest
from breakers.bundles.verify import sha256
from breakers.errors import TracingError
from breakers.refinement.ablation_report import HarmOf, report_ablation
from breakers.refinement.ablations import KINDS, AblationKind, ReferenceKind, make_ablation
from breakers.refinement.artifact import Refinement, log_bytes
from breakers.refinement.bootstrap import CaseBootstrap
from breakers.refinement.controls import Members, random_sets, top_set
from breakers.refinement.evidence import Evidence, EvidenceConfig
from breakers.refinement.joint import count_heads
from breakers.refinement.manifest import (
    AblationManifest,
    EvidenceManifest,
    MemberManifest,
    RefinedManifest,
    SearchManifest,
    SizeManifest,
)
from breakers.refinement.measured import SearchStep, SetMeasure
from breakers.refinement.reference import activation_norms
from breakers.refinement.search import LEAST_LIMIT, Outcome, SearchResult, judge, search_minimal_set
from breakers.refinement.threshold import Threshold
from breakers.sites import Component, Site
from breakers.tracing.circuit_file import MeasureManifest, PatchManifest
from breakers.tracing.measure import PatchedMeasure
from breakers.tracing.patches import TraceCase
from breakers.tracing.stage import all_components
from breakers.training.batches import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineSettings:
    """What to look for, and how much evidence to gather."""

    threshold: Threshold
    tolerance: float = 0.0
    """In units of the measure; see `breakers.refinement.search`."""
    max_sets: int | None = None
    """Most sets that the search measures; None for as many as it takes."""
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)

    def __post_init__(self) -> None:
        if self.max_sets is not None and self.max_sets < LEAST_LIMIT:
            raise TracingError(f"max_sets is {self.max_sets}; wanted at least {LEAST_LIMIT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineMaterial:
    """What a refinement works on."""

    model: PreTrainedModel
    """In eval mode; never changed."""
    sites: ModelSites
    measure: PatchedMeasure
    ranking: Sequence[tuple[Site, float]]
    """Candidates, one head or neuron each, with their effects, the highest first."""
    cases: Sequence[TraceCase]
    """That the search measures on."""
    held_out: Sequence[TraceCase] = ()
    """For the evidence; where there are none, the search's cases are used again."""
    benign: Sequence[Sample] = ()
    """Unrelated skills: half of them are the ablations' reference, the others are measured."""
    harm_of: HarmOf | None = None
    """H of text generated under an ablation; None to leave that out."""
    spent: Callable[[], float] | None = None
    """Forward-pass equivalents that the measure has used so far, where it counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the artifact says of its inputs."""

    behaviour: str
    base: BaseManifest
    made_from: dict[str, str]
    measure: MeasureManifest
    patch: PatchManifest
    command: str


def refine(
    settings: RefineSettings,
    material: RefineMaterial,
    origin: Origin,
    on_step: Callable[[SearchStep], None] | None = None,
) -> Refinement:
    """Search, and gather the evidence for what was found.

    That no set reaches tau, or that the unmodified model does, is a result: see `SearchManifest.outcome`.

    Args:
        settings: see there.
        material: see there.
        origin: copied into the artifact.
        on_step: told of each set that the search measures.

    Raises:
        TracingError: no cases or candidates, a threshold that is none, or values that are not finite.
        SiteError: a candidate that the model does not have.
    """
    return _Refining(settings, material, on_step).run(origin)


class _Refining:
    """State of one refinement."""

    def __init__(
        self, settings: RefineSettings, material: RefineMaterial, on_step: Callable[[SearchStep], None] | None
    ) -> None:
        self._settings, self._material = settings, material
        self._universe = tuple(all_components(material.sites, (Component.HEAD, Component.NEURON)))
        self._effects = dict(material.ranking)
        self._searched = SetMeasure(
            material.measure, material.cases, limit=settings.max_sets, spent=material.spent, on_step=on_step
        )

    def run(self, origin: Origin) -> Refinement:
        result = self._search()
        log = tuple(self._searched.log)
        self._searched.limit = None
        evidence = self._evidence(result)
        manifest = RefinedManifest(
            format=1,
            behaviour=origin.behaviour,
            base=origin.base,
            made_from=origin.made_from,
            measure=origin.measure,
            patch=origin.patch,
            search=self._search_manifest(result, log),
            size=self._size(result.members),
            members=self._members(result, evidence),
            evidence=None if evidence is None else self._report(evidence, result),
            ablations=self._ablations(result.members),
            seed=self._settings.evidence.seed,
            command=origin.command,
        )
        return Refinement(manifest=manifest, log=log)

    @property
    def _judged(self) -> Sequence[TraceCase]:
        """Cases of the evidence."""
        return self._material.held_out or self._material.cases

    def _search(self) -> SearchResult:
        clean, everything = self._searched.means([(), self._universe], "ends")
        tau = self._settings.threshold.resolve(clean, everything)
        helpful = sum(effect > 0 for effect in self._effects.values())
        return search_minimal_set(self._searched, list(self._effects), tau, self._settings.tolerance, [helpful])

    def _evidence(self, result: SearchResult) -> Evidence | None:
        if not result.members:
            return None
        config, cases = self._settings.evidence, self._judged
        measured = SetMeasure(self._material.measure, cases) if self._material.held_out else self._searched
        bootstrap = CaseBootstrap([case.prompt for case in cases], seed=config.seed, resamples=config.resamples)
        return Evidence(measured, bootstrap, result.members, self._universe)

    def _report(self, evidence: Evidence, result: SearchResult) -> EvidenceManifest:
        controls = self._controls(result.members)
        held_out = bool(self._material.held_out)
        return evidence.report(result.tau, controls, self._settings.evidence, held_out=held_out)

    def _controls(self, circuit: Members) -> dict[str, tuple[Members, ...]]:
        material, config = self._material, self._settings.evidence
        runs = [case.pair.harmful for case in self._judged]
        norms = activation_norms(material.model, material.sites, runs, self._universe)
        return {
            "random": random_sets(circuit, self._universe, config.draws, config.seed),
            "random_same_layers": random_sets(circuit, self._universe, config.draws, config.seed, same_layers=True),
            "activation_norm": (top_set(circuit, self._universe, norms),),
        }

    def _members(self, result: SearchResult, evidence: Evidence | None) -> list[MemberManifest]:
        if evidence is None or result.outcome is not Outcome.MINIMAL:
            return [self._member(site) for site in result.members]
        rest = [tuple(other for other in result.members if other != site) for site in result.members]
        # Measured by the search; this only looks them up.
        values = self._searched.means(rest, "leave_one_out")
        changes = evidence.changes_without()
        return [
            self._member(site).model_copy(
                update={"change_without": change, "verdict": judge(value, result.tau)},
            )
            for site, value, change in zip(result.members, values, changes, strict=True)
        ]

    def _member(self, site: Site) -> MemberManifest:
        return MemberManifest(
            site=SiteManifest.of(site), effect=self._effects[site], change_without=None, verdict=None
        )

    def _ablations(self, circuit: Members) -> list[AblationManifest]:
        return [self._ablation(kind, circuit) for kind in KINDS] if circuit else []

    def _ablation(self, kind: AblationKind, circuit: Members) -> AblationManifest:
        material, config = self._material, self._settings.evidence
        benign = list(material.benign)
        source: ReferenceKind = "benign" if len(benign) > 1 else "neutral"
        reference = benign[::2] if source == "benign" else [case.pair.neutral for case in material.cases]
        ablation = make_ablation(kind, material.model, material.sites, circuit, reference, config.seed)
        return report_ablation(
            material.model,
            ablation,
            self._judged,
            benign[1::2] if source == "benign" else benign,
            reference="none" if kind == "zero" else source,
            harm_of=material.harm_of,
            seed=config.seed,
            resamples=config.resamples,
        )

    def _search_manifest(self, result: SearchResult, log: Sequence[SearchStep]) -> SearchManifest:
        heads = count_heads(list(self._effects))
        return SearchManifest(
            outcome=result.outcome,
            tau_kind=self._settings.threshold.kind,
            tau_given=self._settings.threshold.value,
            tau=result.tau,
            tolerance=result.tolerance,
            cases=len(self._material.cases),
            candidate_heads=heads,
            candidate_neurons=len(self._effects) - heads,
            clean=result.clean,
            value=result.value,
            candidates=result.candidates,
            grown=result.grown,
            sets=len(log),
            patched_runs=log[-1].patched_runs,
            forward_passes=log[-1].forward_passes,
            log_sha256=sha256(log_bytes(log)),
        )

    def _size(self, circuit: Members) -> SizeManifest:
        heads, all_heads = count_heads(circuit), count_heads(self._universe)
        neurons, all_neurons = len(circuit) - heads, len(self._universe) - all_heads
        return SizeManifest(
            heads=heads,
            all_heads=all_heads,
            head_share=heads / all_heads,
            neurons=neurons,
            all_neurons=all_neurons,
            neuron_share=neurons / all_neurons if all_neurons else 0.0,
        )
