"""The measure of a trace, made anew: the lead, or H of generated text, with the trace's own way of patching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import ModelSites
from breakers.errors import StageError
from breakers.pairs.record import PairRecord, as_dicts
from breakers.pairs.tokens import ConversationEncoder
from breakers.refinement.ablated_harm import AblatedHarm
from breakers.scoring import HarmScorer
from breakers.tracing.activations import TRACED
from breakers.tracing.circuit_file import CircuitFile, MeasureKind
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import HarmMeasure, Judge
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, PatchSource, TraceCase
from breakers.tracing.sources import OffsetMeans, neutral_means

DEFAULT_NEW_TOKENS = 32
"""Most tokens of a reply that is judged, where the trace's measure generates none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSetting:
    """What a measure is made from, besides the model."""

    circuit: CircuitFile
    """Says which measure, and how to patch."""
    cases: Sequence[TraceCase]
    """Whose neutral runs the means of source `mean` are taken over."""
    records: Mapping[TraceCase, PairRecord]
    """The pair of each case that may be measured: its conversation is what a reply is judged in."""
    scorer: HarmScorer | None
    """Of replies; for measure `harm`."""
    batch_tokens: int


def build_measure(
    setting: MeasureSetting, model: PreTrainedModel, sites: ModelSites, tokenizer: PreTrainedTokenizerBase
) -> LeadMeasure | HarmMeasure:
    """The measure that a trace was made with.

    Raises:
        StageError: measure `harm` without its scorer, or with another one.
        TracingError: source `mean` without cases, or a scorer that does not score the behaviour.
    """
    circuit = setting.circuit
    config = PatchConfig(
        source=circuit.patch.source, positions=circuit.patch.positions, batch_tokens=setting.batch_tokens
    )
    means = _means(setting, model, sites)
    if circuit.measure.kind is MeasureKind.LEAD:
        return LeadMeasure(model, sites, config, means=means)
    judge, generation = _judged(setting, _scorer(setting), tokenizer)
    return HarmMeasure(model, sites, config, generation, judge, means=means)


def build_harm_of(
    setting: MeasureSetting, model: PreTrainedModel, sites: ModelSites, tokenizer: PreTrainedTokenizerBase
) -> AblatedHarm | None:
    """H of text under ablations, where a scorer was given.

    Raises:
        TracingError: a scorer that does not score the behaviour.
    """
    if setting.scorer is None:
        return None
    judge, generation = _judged(setting, setting.scorer, tokenizer)
    return AblatedHarm(model, sites, generation, judge, setting.batch_tokens)


def _judged(
    setting: MeasureSetting, scorer: HarmScorer, tokenizer: PreTrainedTokenizerBase
) -> tuple[Judge, GenerationConfig]:
    judge = Judge(
        scorer=scorer,
        behaviour=setting.circuit.behaviour,
        decode=lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
        messages=lambda case: as_dicts(setting.records[case].messages),
    )
    most = setting.circuit.measure.max_new_tokens or DEFAULT_NEW_TOKENS
    return judge, GenerationConfig(end=ConversationEncoder(tokenizer).end_token_id, max_new_tokens=most)


def _means(setting: MeasureSetting, model: PreTrainedModel, sites: ModelSites) -> OffsetMeans | None:
    if setting.circuit.patch.source is not PatchSource.MEAN:
        return None
    points = [point for point in sites.modules if point.boundary in TRACED]
    return neutral_means(model, sites, [case.pair.neutral for case in setting.cases], points)


def _scorer(setting: MeasureSetting) -> HarmScorer:
    wanted = setting.circuit.measure.scorer
    if setting.scorer is None or setting.scorer.name != wanted:
        found = "none" if setting.scorer is None else setting.scorer.name
        raise StageError(f"the trace was made with scorer {wanted}; {found} was given")
    return setting.scorer
