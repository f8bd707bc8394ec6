"""From tables to flat figures, each mean with `.low` and `.high` (95 %, over prompts).

`BEHAVIOUR.gate.` and the parameters of the shipped gate; `BEHAVIOUR.curve.SIXTEENTHS.` and where that strength begins
and which share of prompts it gets; `BEHAVIOUR.shipped.` and its figures on all prompts; `BEHAVIOUR.MEMBER.` and those
of gates fitted on a classifier's harm potentials, cross-fitted, with `.auroc` of the potentials against harm without
intervention; `BEHAVIOUR.choice.` and the comparison of variants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.gates.members import OWN
from benchmarks.gates.subjects import Subject
from breakers.bundles.store import sha256
from breakers.plan import STRENGTH_STEPS
from classifiers import build_classifier
from classifiers.assessment.intervals import Interval
from classifiers.base import HarmClassifier
from classifiers.choices.fitting import ChoiceConfig, fit_choice
from classifiers.fitting.metrics import auroc
from classifiers.gate_table import GateTable
from classifiers.gates.report import ReportConfig, report_gate
from classifiers.gates.rescoring import TablePrompts, rescore

CONFIG = ReportConfig(folds=5, seed=6, resamples=2000)
SHOWN = ("harm_off", "harm", "change", "cost", "strength", "benign_off_share", "regret_fixed", "regret_per_prompt")


def report_part(subject: Subject) -> dict[str, float]:
    """The shipped gate on all prompts of its table: in-sample, and so named."""
    report = report_gate(subject.table, CONFIG, subject.gate)
    name = subject.behaviour
    figures = {f"{name}.gate.{part}": getattr(report.gate, part) for part in ("alpha_base", "w", "b", "p_off")}
    for step in report.steps:
        at = f"{name}.curve.{round(step.strength * STRENGTH_STEPS)}"
        figures |= {f"{at}.from": step.harm_potential, f"{at}.benign": step.benign, f"{at}.other": step.other}
    shown = {part: report.on_all[part] for part in SHOWN}
    prompts = {
        f"{name}.prompts": float(len(subject.table.benign)),
        f"{name}.benign": float(subject.table.benign.sum()),
    }
    return prompts | figures | flat(f"{name}.shipped", shown)


def member_part(subject: Subject, prompts: TablePrompts, member: str, classifier: HarmClassifier) -> dict[str, float]:
    """Gates fitted on a classifier's harm potentials, cross-fitted."""
    table = rescore(
        subject.table,
        prompts,
        classifier,
        build_classifier(OWN),
        table_sha256=sha256(subject.path.read_bytes()),
        command="python -m benchmarks.gates",
    )
    report = report_gate(table, CONFIG)
    name = f"{subject.behaviour}.{member}"
    ranked = auroc(table.harm_potential, table.harm[:, 0] >= 0.5)
    shown = {part: report.cross_fitted[part] for part in SHOWN}
    return {f"{name}.auroc": ranked, f"{name}.p_off": report.gate.p_off} | flat(name, shown)


def choice_part(behaviour: str, tables: Sequence[GateTable]) -> dict[str, float]:
    """Variants against each other and against the rule."""
    result = fit_choice(tables, ChoiceConfig(judged=CONFIG))
    name = f"{behaviour}.choice"
    figures = {f"{name}.beats_single": float(result.beats_single), f"{name}.segments": len(result.rule.segments)}
    figures |= {f"{name}.single.{table.bundle}": float(table.bundle == result.single) for table in tables}
    return figures | flat(name, result.cross_fitted)


def flat(name: str, figures: Mapping[str, Interval]) -> dict[str, float]:
    """Each figure with its ends; those that cannot be shown are left out, since a result has finite numbers only."""
    found: dict[str, float] = {}
    for figure, interval in figures.items():
        ends = {"": interval.estimate, ".low": interval.low, ".high": interval.high}
        if all(math.isfinite(value) for value in ends.values()):
            found |= {f"{name}.{figure}{end}": value for end, value in ends.items()}
    return found
