"""The stage behind `scalpel trace`: reads the pairs, loads the model and the scorer, and hands them to tracing."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from breakers.errors import TracingError
from breakers.pairs.files import load_pairs, pairs_sha256
from breakers.pairs.record import PairRecord, as_dicts
from breakers.pairs.tokens import ConversationEncoder, ConversionConfig, ConversionResult, to_cases
from breakers.sites import Component
from breakers.tracing.artifact import TraceArtifact
from breakers.tracing.attribution import AttributionConfig, AttributionPath
from breakers.tracing.circuit_file import MeasureKind, TraceMethod
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import Judge
from breakers.tracing.patches import PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.patching import StopRule
from breakers.tracing.screening import ScreeningConfig
from breakers.tracing.stage import Progress, TraceConfig, TraceSubject, run_trace
from classifiers.scorers import build_scorer
from server.base_model import BaseOptions, load_prepared

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from server.engines.embedded.config import LoadedModel

ALL = "all"
"""Instead of a split."""
_KINDS = {
    "head": (Component.HEAD,),
    "neuron": (Component.NEURON,),
    "both": (Component.HEAD, Component.NEURON),
}
_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """The command's options, as they were given."""

    pairs: Path
    out: Path
    model: Path | None = None
    """None for the demo model."""
    base: BaseOptions = field(default_factory=BaseOptions)
    behaviour: str | None = None
    """None for the only one in the file."""
    split: str = "train"
    """Or `all`."""
    limit: int = 64
    longest: int | None = None
    """Most tokens of a prompt and its longer completion; None for as many as the model has positions."""
    source: str = "contrast"
    positions: str = "generation"
    measure: str = "lead"
    scorer: str = "demo"
    max_new_tokens: int = 32
    method: str = "screen"
    components: str = "both"
    top_heads: int = 10
    top_neurons: int = 20
    head_path: str = "point"
    neuron_path: str = "start"
    steps: int = 1
    settle: bool = False
    noise_components: int = 16
    batch_tokens: int = 4096
    images: bool = True
    seed: int = 0
    command: str = "scalpel trace"


def trace_files(
    request: TraceRequest, progress: Progress | None = None, note: Callable[[str], None] | None = None
) -> TraceArtifact:
    """Trace a behaviour of a model on a file of pairs, and write the artifact.

    Args:
        request: what to trace and how.
        progress: told as cases are done.
        note: told of pairs that are left out, and why.

    Raises:
        PairsError: the file has no pairs that can be used.
        TracingError: a choice that does not exist, or what `run_trace` refuses.
        ConfigError: the model cannot be loaded, or not there.
        UnknownMemberError: no scorer has this name.
    """
    config = trace_config(request)
    every = load_pairs(request.pairs)
    records = chosen_records(every, request)
    loaded = load_prepared(request.model, request.base)
    conversion = ConversionConfig(
        longest=request.longest or _positions(loaded), need_contrast=config.patch.source is PatchSource.CONTRAST
    )
    converted = to_cases(records, loaded.tokenizer, conversion)
    if converted.dropped and note is not None:
        reasons = ", ".join(f"{number} with {reason}" for reason, number in converted.dropped.items())
        note(f"{len(records) - len(converted.cases)} of {len(records)} pairs are left out: {reasons}")
    cases = _drawn(converted, request)
    behaviour = converted.records[0].behaviour
    harm = config.measure is MeasureKind.HARM
    encoder = ConversationEncoder(loaded.tokenizer)
    subject = TraceSubject(
        model=loaded.model,
        model_id=loaded.model_id,
        cases=[case for _, case in cases],
        behaviour=behaviour,
        pairs_sha256=pairs_sha256(every),
        split=None if request.split == ALL else request.split,
        judge=_judge(request, loaded.tokenizer, cases, behaviour) if harm else None,
        generation=GenerationConfig(end=encoder.end_token_id, max_new_tokens=request.max_new_tokens)
        if harm
        else None,
    )
    return run_trace(config, subject, request.out, progress)


def trace_config(request: TraceRequest) -> TraceConfig:
    """The options as tracing takes them.

    Raises:
        TracingError: one of them is not among the choices, or they do not go together.
    """
    kinds = _KINDS.get(request.components)
    if kinds is None:
        raise TracingError(f"--components is {request.components!r}; wanted one of {', '.join(_KINDS)}")
    top = ScreeningConfig(
        top_heads=request.top_heads if Component.HEAD in kinds else 0,
        top_neurons=request.top_neurons if Component.NEURON in kinds else 0,
    )
    return TraceConfig(
        patch=PatchConfig(
            source=_choice(PatchSource, request.source, "source"),
            positions=_choice(Positions, request.positions, "positions"),
            batch_tokens=request.batch_tokens,
        ),
        measure=_choice(MeasureKind, request.measure, "measure"),
        method=_choice(TraceMethod, request.method, "method"),
        top=top,
        attribution=AttributionConfig(
            heads=_choice(AttributionPath, request.head_path, "head-path"),
            neurons=_choice(AttributionPath, request.neuron_path, "neuron-path"),
            steps=request.steps,
        ),
        components=kinds,
        stop=StopRule(top=top.top_heads + top.top_neurons, seed=request.seed) if request.settle else None,
        noise_components=request.noise_components,
        seed=request.seed,
        images=request.images,
        command=request.command,
    )


def chosen_records(records: Sequence[PairRecord], request: TraceRequest) -> list[PairRecord]:
    """The pairs of the behaviour and the split that are asked for.

    Raises:
        TracingError: the file has several behaviours and none is asked for, or no pair of the one that is.
    """
    found = sorted({record.behaviour for record in records})
    if request.behaviour is None and len(found) > 1:
        raise TracingError(f"{request.pairs} has pairs of {', '.join(found)}; name one with --behaviour")
    behaviour = request.behaviour or found[0]
    chosen = [r for r in records if r.behaviour == behaviour and request.split in (ALL, r.split.value)]
    if not chosen:
        there = sorted({f"{record.behaviour} ({record.split})" for record in records})
        wanted = f"{behaviour} ({request.split})"
        raise TracingError(f"{request.pairs} has no pairs of {wanted}; it has {', '.join(there)}")
    return chosen


def _positions(loaded: LoadedModel) -> int | None:
    """Most tokens that the model can read; None where its configuration does not say."""
    found = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) else None


def _drawn(converted: ConversionResult, request: TraceRequest) -> list[tuple[PairRecord, TraceCase]]:
    """At most as many as asked for, in the order of the file."""
    every = list(zip(converted.records, converted.cases, strict=True))
    if len(every) <= request.limit:
        return every
    places = random.Random(request.seed).sample(range(len(every)), request.limit)
    return [every[place] for place in sorted(places)]


def _judge(
    request: TraceRequest,
    tokenizer: PreTrainedTokenizerBase,
    cases: Sequence[tuple[PairRecord, TraceCase]],
    behaviour: str,
) -> Judge:
    # By prompt: the noise floor makes new cases, whose prompts are the same.
    by_prompt = {case.prompt: as_dicts(record.messages) for record, case in cases}

    def messages(case: TraceCase) -> Sequence[Mapping[str, str]]:
        return by_prompt[case.prompt]

    def decode(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    return Judge(scorer=build_scorer(request.scorer), behaviour=behaviour, decode=decode, messages=messages)


def _choice(choices: type[_Choice], value: str, option: str) -> _Choice:
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(choices)
        raise TracingError(f"--{option} is {value!r}; wanted one of {known}") from None
