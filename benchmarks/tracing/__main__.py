"""`python -m benchmarks.tracing`: exact patching of all heads by ours, TransformerLens and nnsight, and screening.

Every contender patches the same heads of the same weights on the same pairs, with the contrast run's activation from
the last prompt token on, and gives the lead; contenders take turns in every round, and all effects have to agree.
Screening (attribution for heads and neurons, verification of the candidates) is held against TransformerLens' exact
patching of everything, whose time for the neurons is extrapolated from a random sample of them.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from benchmarks.errors import BenchmarkError, TracedEffectsError
from benchmarks.results import write_result
from benchmarks.tracing.contenders import BATCH_TOKENS, CONTENDERS, Contender
from benchmarks.tracing.figures import (
    LENS,
    OURS,
    Agreement,
    Screened,
    Timed,
    agreement_figures,
    furthest,
    heads_figures,
    screen_figures,
)
from benchmarks.tracing.subjects import SUBJECTS, Subject, demo_cases
from breakers.architectures import resolve_sites
from breakers.sites import Component, Site
from breakers.tracing.attribution import Attributed, attribute
from breakers.tracing.lead import LeadMeasure
from breakers.tracing.patches import PatchConfig, TraceCase
from breakers.tracing.screening import ScreeningConfig, screen
from breakers.tracing.sources import Sources
from breakers.tracing.stage import all_components

NAME = "tracing"
PACKAGES = ("torch", "transformers", "transformer-lens", "nnsight")
TOLERANCE = 1e-4
"""Nats by which a peer's effect may differ from ours; rounding of eager and fused attention is below 1e-5."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the result, print the figures that have targets."""
    options = _parser().parse_args(arguments)
    try:
        figures: dict[str, float] = {}
        for name in options.subjects:
            subject = SUBJECTS[name]
            if options.cases:
                subject = replace(subject, cases=options.cases)
            if options.rounds:
                subject = replace(subject, rounds=options.rounds)
            figures |= {f"{name}.{figure}": value for figure, value in measure(subject).items()}
        shown = shlex.join(
            ["python", "-m", "benchmarks.tracing", *(sys.argv[1:] if arguments is None else arguments)]
        )
        # A part of the benchmark is for looking at: it must not replace the committed result.
        whole = not options.cases and not options.rounds and set(options.subjects) == set(SUBJECTS)
        folder = None if whole else Path("runs") / "benchmarks"
        result = write_result(NAME, figures=figures, command=shown, packages=PACKAGES, folder=folder)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in result.figures.items():
        bound = result.targets.get(figure)
        print(f"{figure:52} {value:12.4f}" + (f"   wanted {bound[0]} {bound[1]:g}" if bound else ""))
    return 0


def measure(subject: Subject) -> dict[str, float]:
    """All figures of a subject.

    Raises:
        TracedEffectsError: a peer's effects are not ours.
    """
    cases = demo_cases(subject.cases, subject.behaviour)
    contenders = {name: make(subject.model()) for name, make in CONTENDERS.items()}
    sites = resolve_sites(subject.model())
    heads = all_components(sites, (Component.HEAD,))
    neurons = all_components(sites, (Component.NEURON,))
    figures = {"cases": float(len(cases)), "heads.count": float(len(heads)), "neurons.count": float(len(neurons))}
    rounds: dict[str, list[Timed]] = {name: [] for name in contenders}
    screened: list[Screened] = []
    estimated = None
    for _ in range(subject.rounds):
        found = {name: timed_effects(each, cases, heads, rounds[name]) for name, each in contenders.items()}
        figures |= check_effects(found)
        estimated = timed_screening(subject, cases, screened)
    sample = random.Random(0).sample(neurons, min(subject.sampled_neurons, len(neurons)))
    timed: list[Timed] = []
    figures |= check_effects(
        {name: timed_effects(contenders[name], cases, sample, timed) for name in (OURS, LENS)}, "neurons"
    )
    figures |= heads_figures(rounds)
    lens_heads = figures[f"heads.{LENS}.seconds"]
    figures |= screen_figures(screened, lens_heads, timed[-1].seconds, len(sample), len(neurons))
    if subject.exact_neurons and estimated is not None:
        figures |= agreement(estimated, contenders[OURS], cases, heads, neurons)
    return figures


def timed_effects(
    contender: Contender, cases: Sequence[TraceCase], components: Sequence[Site], timed: list[Timed]
) -> Tensor:
    """Effects of components, noting the time and the cost."""
    before, began = contender.passes, time.perf_counter()
    found = contender.effects(cases, components)
    timed.append(Timed(seconds=time.perf_counter() - began, passes=contender.passes - before))
    return found


def timed_screening(subject: Subject, cases: Sequence[TraceCase], screened: list[Screened]) -> Attributed:
    """Estimates and verified candidates, noting the time and the cost; loading the model is not counted."""
    model = subject.model()
    sites, config = resolve_sites(model), PatchConfig(batch_tokens=BATCH_TOKENS)
    lead = LeadMeasure(model, sites, config)
    began = time.perf_counter()
    estimated = attribute(model, sites, Sources(model, sites, config), cases)
    screen(lead, cases, estimated.table(), ScreeningConfig())
    seconds = time.perf_counter() - began
    screened.append(Screened(seconds=seconds, passes=estimated.forward_passes + lead.cost.total))
    return estimated


def check_effects(found: Mapping[str, Tensor], kind: str = "heads") -> dict[str, float]:
    """How far the peers' effects are from ours.

    Raises:
        TracedEffectsError: too far.
    """
    apart = furthest(found)
    for name, distance in apart.items():
        if not distance <= TOLERANCE:
            raise TracedEffectsError(f"{name}'s effects of {kind} are up to {distance:.6f} nats from ours")
    return {f"{kind}.{name}.furthest_from_ours": distance for name, distance in apart.items()}


def agreement(
    estimated: Attributed, ours: Contender, cases: Sequence[TraceCase], heads: list[Site], neurons: list[Site]
) -> dict[str, float]:
    """Estimates against exact effects of all heads and all neurons."""
    table = estimated.table()
    exact = [ours.effects(cases, components).mean(0) for components in (heads, neurons)]
    flat = [table.grid(kind).mean.flatten() for kind in (Component.HEAD, Component.NEURON)]
    both = [Agreement(estimated=one, exact=other) for one, other in zip(flat, exact, strict=True)]
    return agreement_figures(both[0], both[1], ScreeningConfig())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing")
    parser.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--cases", type=int, help="of each subject; its own number by default")
    parser.add_argument("--rounds", type=int, help="of each subject; its own number by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
