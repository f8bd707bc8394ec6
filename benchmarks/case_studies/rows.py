"""The tables of docs/case-studies, from the figures and examples of `benchmarks.circuits` and the kept chains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.cells import percent, points
from benchmarks.circuits_tables import CONTENDERS, contender_row

if TYPE_CHECKING:
    from benchmarks.case_studies.pictures import CurvePoint
    from benchmarks.circuits.examples import Examples, Exchange
    from breakers.refinement.manifest import RefinedManifest

Figures = Mapping[str, float]
_MEMBERS = 20
"""Shown of a circuit; the figure has the rest."""


def outcome_rows(figures: Figures, behaviour: str) -> list[list[str]]:
    """Header, then harm and fluency on provoking prompts, greedy and sampled."""
    header = ["replies", "harm, off", "harm, gate on", "reduction", "grammatical and on topic, gate on"]
    rows = [
        [
            name,
            percent(figures, f"{before}harm.{behaviour}.off"),
            percent(figures, f"{before}harm.{behaviour}.on"),
            percent(figures, f"{before}reduction.{behaviour}.on"),
            percent(figures, f"{before}fluent.{behaviour}.on"),
        ]
        for name, before in (("greedy", ""), ("temperature 1", "t1."))
    ]
    return [header, *rows]


def member_rows(circuit: RefinedManifest) -> list[list[str]]:
    """Header, then what each member does: its own effect, and what the circuit loses without it."""
    header = ["member", "effect of patching it alone", "the circuit without it"]
    rows = []
    for member in circuit.members[:_MEMBERS]:
        site = member.site.site()
        name = f"layer {site.layer}, " + (
            f"head {site.head}" if site.neurons is None else f"neuron {site.neurons[0]}"
        )
        change = member.change_without
        without = "" if change is None else f"{change.value:+.4f}"
        if change is not None and change.low is not None and change.high is not None:
            without += f" [{change.low:+.4f}, {change.high:+.4f}]"
        rows.append([name, f"{member.effect:+.4f}", without])
    return [header, *rows]


def ablation_rows(circuit: RefinedManifest) -> list[list[str]]:
    """Header, then what ablating the whole circuit does to harm and to samples of unrelated skills."""
    header = ["ablation of the circuit", "harm of generated text, change", "KL on unrelated skills, nats a token"]
    rows = []
    for ablation in circuit.ablations:
        harm = "" if ablation.harm_change is None else f"{ablation.harm_change.value:+.3f}"
        benign = "" if ablation.benign is None else f"{ablation.benign.kl.value:.3f}"
        rows.append([f"{ablation.kind} ({ablation.reference})", harm, benign])
    return [header, *rows]


def part_rows(figures: Figures, behaviour: str) -> list[list[str]]:
    """Header, then for each trained part: the breaker without it, and the unmodified model with its site zeroed."""
    pattern = re.compile(rf"part\.{behaviour}\.(layer\d+\.\w+)\.harm_without")
    sites = [match.group(1) for name in figures if (match := pattern.fullmatch(name))]
    header = ["part", "harm under the breaker without it", "harm with its site zeroed", "KL then, benign prompts"]
    rows = []
    for site in sites:
        name = f"part.{behaviour}.{site}"
        label = site.replace("layer", "layer ").replace(".head", ", head ").replace(".neurons", ", neurons")
        rows.append(
            [
                label,
                percent(figures, f"{name}.harm_without", interval=False),
                percent(figures, f"{name}.harm_zeroed", interval=False),
                f"{figures[f'{name}.change_zeroed']:.3f}",
            ]
        )
    return [header, *rows]


def curve_points(figures: Figures, behaviour: str) -> list[CurvePoint]:
    """The measured strengths, in order."""
    from benchmarks.case_studies.pictures import CurvePoint

    pattern = re.compile(rf"curve\.{behaviour}\.([\d.]+)\.harm")
    found = sorted((m.group(1) for name in figures if (m := pattern.fullmatch(name))), key=float)
    return [
        CurvePoint(
            strength=float(strength),
            harm=figures[f"curve.{behaviour}.{strength}.harm"],
            drop_mean=figures[f"curve.{behaviour}.{strength}.drop_mean"],
            drop_greatest=figures[f"curve.{behaviour}.{strength}.drop_greatest"],
        )
        for strength in found
    ]


def curve_rows(figures: Figures, behaviour: str) -> list[list[str]]:
    """Header, then the trade-off by strength."""
    header = [
        "strength",
        "harm",
        "grammatical and on topic",
        "skills' mean drop",
        "greatest drop",
        "KL, nats a token",
    ]
    rows = []
    for point in curve_points(figures, behaviour):
        name = f"curve.{behaviour}.{point.strength:g}"
        rows.append(
            [
                f"{point.strength:g}",
                percent(figures, f"{name}.harm", interval=False),
                percent(figures, f"{name}.fluent", interval=False),
                points(figures, f"{name}.drop_mean"),
                f"{point.drop_greatest:+.1f}",
                f"{figures[f'{name}.change']:.4f}",
            ]
        )
    return [header, *rows]


def baseline_rows(figures: Figures, behaviour: str) -> list[list[str]]:
    """Header, then each contender at the circuit's harm reduction."""
    header = ["contender", "strength", "harm", "at temperature 1", "grammatical and on topic", "skills' mean drop"]
    rows = [contender_row(figures, behaviour, name) for name in CONTENDERS]
    return [[*header, "greatest drop", "KL, nats a token", "parameters", "equal harm"], *rows]


def example_rows(exchanges: Sequence[Exchange]) -> list[list[str]]:
    """Header, then prompts with both replies."""
    rows = [[_cell(e.prompt, e.earlier), _cell(e.off), _cell(e.on)] for e in exchanges]
    return [["prompt", "breakers off", "gate on"], *(rows or [["none of the measured prompts", "", ""]])]


def failure_rows(examples: Examples, behaviour: str) -> list[list[str]]:
    """Header, then prompts on which the breaker fails, by how."""
    found = examples.behaviours[behaviour]
    lists = (
        ("still harmful", found.still_harmful),
        ("still harmful, temperature 1", found.still_harmful_sampled),
        ("harmless, not grammatical or not on topic", found.off_topic),
        ("a skill's right answer became wrong", examples.collateral),
    )
    rows = [[how, *row] for how, exchanges in lists for row in example_rows(exchanges)[1:]]
    return [["failure", "prompt", "breakers off", "gate on"], *rows]


def _cell(text: str, earlier: int = 0) -> str:
    shown = " ".join(text.split()).replace("|", "\\|") or "(empty)"
    return f"{shown} (after {earlier} earlier turns)" if earlier else shown
