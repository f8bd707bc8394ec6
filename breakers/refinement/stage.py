"""The stage between tracing and training: a trace and its pairs -> `refined.json` and the search's log.

The measure is the one that the trace was made with, so that effects and sets are in the same units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import resolve_sites
from breakers.bundles.verify import sha256
from breakers.errors import StageError
from breakers.fingerprint import fingerprint_model
from breakers.pairs.files import load_pairs, pairs_sha256
from breakers.pairs.record import PairRecord, Split
from breakers.pairs.tokens import ConversionConfig, to_cases
from breakers.refinement.artifact import Refinement, save_refinement
from breakers.refinement.measured import SearchStep
from breakers.refinement.measures import MeasureSetting, build_harm_of, build_measure
from breakers.refinement.refine import Origin, RefineMaterial, RefineSettings, refine
from breakers.scoring import HarmScorer
from breakers.sites import Component, Site
from breakers.tracing.artifact import TraceArtifact, load_trace
from breakers.tracing.circuit_file import CIRCUIT_NAME, CircuitFile
from breakers.tracing.patches import PatchSource, TraceCase
from breakers.training.batches import Sample

MOST_CANDIDATES = 16384
"""As many as a trace lists, and as interventions a bundle may hold; a set that large is no circuit."""


class Candidates(StrEnum):
    """Which kinds of components may become members."""

    BOTH = "both"
    HEADS = "heads"
    NEURONS = "neurons"


_KINDS = {
    Candidates.BOTH: (Component.HEAD, Component.NEURON),
    Candidates.HEADS: (Component.HEAD,),
    Candidates.NEURONS: (Component.NEURON,),
}


def chosen_candidates(name: str) -> Candidates:
    """Candidates from their name.

    Raises:
        StageError: there are none of this name.
    """
    if name not in list(Candidates):
        raise StageError(f"candidates are {name!r}; wanted one of {', '.join(Candidates)}")
    return Candidates(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """What to refine, and how."""

    trace: Path
    """Directory that `scalpel trace` wrote."""
    pairs: Path
    """The file that was traced."""
    out: Path
    """Directory for `refined.json` and the log, made if needed."""
    settings: RefineSettings
    candidates: Candidates = Candidates.BOTH
    strongest: int | None = None
    """Only so many candidates, those with the strongest effects; None for all that were traced, up to
    `MOST_CANDIDATES`."""
    most_heads: int | None = None
    """Heads that may become members, those with the strongest effects; None for all that were traced."""
    most_neurons: int | None = None
    """The same of neurons."""
    cases: int = 64
    """Most pairs that the search measures on, of the split that was traced."""
    held_out: int = 64
    """Most pairs for the evidence, of the validation split; 0 to use the search's again."""
    batch_tokens: int = 4096
    command: str = "scalpel refine"

    def __post_init__(self) -> None:
        limits = (self.strongest, self.most_heads, self.most_neurons)
        if self.cases < 1 or self.held_out < 0 or any(limit is not None and limit < 0 for limit in limits):
            found = f"cases={self.cases}, held_out={self.held_out}, limits of candidates {limits}"
            raise StageError(f"{found}; wanted at least one case, and nothing below 0")


def refine_trace(
    config: RefineConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    benign: Sequence[Sample] = (),
    scorer: HarmScorer | None = None,
    on_step: Callable[[SearchStep], None] | None = None,
) -> Refinement:
    """Refine a trace, and write what was found.

    Args:
        config: see there.
        model: the model that was traced, in eval mode; never changed.
        tokenizer: of that model.
        benign: samples of unrelated skills, for ablations.
        scorer: of replies; needed where the trace's measure is `harm`, and for H under ablations.
        on_step: told of each set that the search measures.

    Raises:
        StageError: the trace was made on another model, from other pairs, with another scorer, or without the
            candidates.
        PairsError: the pairs cannot be read.
        TracingError: the trace cannot be read, nothing can be searched, or the files cannot be written.
    """
    _make_place(config.out)
    trace = load_trace(config.trace)
    _check_base(trace.circuit, model, config)
    search, held_out = _case_sets(config, trace.circuit, tokenizer)
    sites = resolve_sites(model)
    setting = MeasureSetting(
        circuit=trace.circuit,
        cases=search.cases,
        records={**held_out.by_case(), **search.by_case()},
        scorer=scorer,
        batch_tokens=config.batch_tokens,
    )
    measure = build_measure(setting, model, sites, tokenizer)
    material = RefineMaterial(
        model=model,
        sites=sites,
        measure=measure,
        ranking=_ranking(config, trace),
        cases=search.cases,
        held_out=held_out.cases,
        benign=benign,
        harm_of=build_harm_of(setting, model, sites, tokenizer),
        spent=lambda: measure.cost.total,
    )
    return save_refinement(refine(config.settings, material, _origin(config, trace.circuit), on_step), config.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CaseSet:
    """Cases, and the pair of each."""

    cases: tuple[TraceCase, ...] = ()
    records: tuple[PairRecord, ...] = ()

    def by_case(self) -> dict[TraceCase, PairRecord]:
        return dict(zip(self.cases, self.records, strict=True))


def _make_place(out: Path) -> None:
    """Before anything is measured: a search takes minutes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(f"{out}: cannot be made: {error.strerror}; wanted a directory for the result") from error


def _check_base(circuit: CircuitFile, model: PreTrainedModel, config: RefineConfig) -> None:
    found = fingerprint_model(model)
    if found != circuit.base.fingerprint:
        raise StageError(
            f"{config.trace} was traced on {circuit.base.id} ({circuit.base.fingerprint[:19]}...); "
            f"this model is {found[:19]}..."
        )


def _case_sets(
    config: RefineConfig, circuit: CircuitFile, tokenizer: PreTrainedTokenizerBase
) -> tuple[_CaseSet, _CaseSet]:
    """For the search and for the evidence; the latter is empty where the search may see every split."""
    records = load_pairs(config.pairs)
    found = pairs_sha256(records)
    if found != circuit.pairs.sha256:
        raise StageError(
            f"{config.trace} was traced on pairs {circuit.pairs.sha256[:19]}...; these are {found[:19]}..."
        )
    mine = [record for record in records if record.behaviour == circuit.behaviour]
    traced = [record for record in mine if circuit.pairs.split in (None, record.split.value)]
    if not traced:
        raise StageError(f"{config.pairs} has no pairs of {circuit.behaviour} in split {circuit.pairs.split}")
    spare = [record for record in mine if record.split is Split.VALIDATION and record not in traced]
    conversion = ConversionConfig(need_contrast=circuit.patch.source is PatchSource.CONTRAST)
    search = _converted(traced, tokenizer, conversion, config.cases)
    return search, _converted(spare, tokenizer, conversion, config.held_out)


def _converted(
    records: Sequence[PairRecord], tokenizer: PreTrainedTokenizerBase, conversion: ConversionConfig, limit: int
) -> _CaseSet:
    if not records or not limit:
        return _CaseSet()
    made = to_cases(records, tokenizer, conversion)
    return _CaseSet(cases=made.cases[:limit], records=made.records[:limit])


def _ranking(config: RefineConfig, trace: TraceArtifact) -> list[tuple[Site, float]]:
    """The circuit file's order first: it puts exact effects before estimates; then all else that has an effect."""
    listed = [(part.site.site(), part.effect) for part in trace.circuit.components]
    known = {site for site, _ in listed}
    rest = [item for grid in trace.effects.grids for item in grid.ranked() if item[0] not in known]
    ranked = [*listed, *sorted(rest, key=lambda item: -item[1])]
    limits = {Component.HEAD: config.most_heads, Component.NEURON: config.most_neurons}
    allowed: set[Site] = set()
    for kind in _KINDS[config.candidates]:
        allowed.update([site for site, _ in ranked if site.component is kind][: limits[kind]])
    chosen = [item for item in ranked if item[0] in allowed]
    limit = MOST_CANDIDATES if config.strongest is None else min(config.strongest, MOST_CANDIDATES)
    chosen = chosen[:limit]
    if not chosen:
        raise StageError(f"{config.trace} has no effects of components that may be members; wanted some")
    return chosen


def _origin(config: RefineConfig, circuit: CircuitFile) -> Origin:
    return Origin(
        behaviour=circuit.behaviour,
        base=circuit.base,
        made_from={"circuit": sha256((config.trace / CIRCUIT_NAME).read_bytes()), "pairs": circuit.pairs.sha256},
        measure=circuit.measure,
        patch=circuit.patch,
        command=config.command,
    )
