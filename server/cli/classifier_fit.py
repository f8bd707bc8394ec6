"""`scalpel classifier observe|fit|eval`: making and measuring classifiers, the demo's and the general ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.classifier_requests import ALL, evaluate_general, fit_general
from server.cli.failures import CommandError

if TYPE_CHECKING:
    from classifiers.fitting.data import DataConfig


class Prompts(StrEnum):
    """What a classifier is fitted and measured on."""

    DEMO = "demo"
    REQUESTS = "requests"


PublicRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of the public data sets; $SCALPEL_DATA if left out, demo prompts alone if neither."),
]
DemoRows = Annotated[int | None, typer.Option(min=1, help="Draws of the demo's training stream.")]
RowsPerKind = Annotated[int, typer.Option(min=1, help="Calibration and held-out prompts of each kind of the demo.")]
On = Annotated[
    Prompts,
    typer.Option(help="demo: the demo's lexical classifier; requests: the general ones, on labelled requests."),
]
Work = Annotated[
    Path | None, typer.Option(help="Folder that keeps sentence vectors and fold scores, for going on after a stop.")
]
Seed = Annotated[int, typer.Option(help="Of the prompts.")]
OutcomesPath = Annotated[
    Path | None, typer.Option(help="What `observe` wrote: calibrate to what the unmodified model did.")
]

Frozen = Annotated[
    bool,
    typer.Option("--frozen", help="Leave the embedding member's encoder as it comes, instead of fine-tuning it."),
]


def observe(
    out: Annotated[Path, typer.Option(help="Where the outcomes go.")],
    scorer: Annotated[str, typer.Option(help="What judges replies.")] = "demo",
    rows_per_kind: RowsPerKind = 1000,
    seed: Seed = 0,
) -> None:
    """Let the unmodified demo model reply to its calibration and held-out prompts, and judge the replies."""
    from classifiers.fitting.data import DataConfig, read_data
    from classifiers.fitting.observe import observe_demo
    from classifiers.fitting.outcomes import save_outcomes
    from classifiers.fitting.prompts import Split
    from classifiers.scorers import build_scorer

    data = read_data(DataConfig(public_root=None, demo_rows=1, demo_rows_per_kind=rows_per_kind, seed=seed))
    prompts = [*data.by_split[Split.CALIBRATION], *data.by_split[Split.HELDOUT]]
    outcomes = observe_demo(prompts, build_scorer(scorer), seed)
    save_outcomes(outcomes, out)
    typer.echo(f"{len(outcomes.harm)} prompts observed")


def fit(
    out: Annotated[Path, typer.Option(help="Directory of the fitted classifier.")],
    data: PublicRoot = None,
    outcomes: OutcomesPath = None,
    demo_rows: DemoRows = None,
    rows_per_kind: RowsPerKind = 1000,
    seed: Seed = 0,
    on: On = Prompts.DEMO,
    members: Annotated[str, typer.Option(help="Of the general ones: which, by comma.")] = ALL,
    work: Work = None,
    frozen: Frozen = False,
    processes: Annotated[int, typer.Option(min=1, help="That leave families of sets out side by side.")] = 1,
) -> None:
    """Fit classifiers, measure them on held-out prompts, and print the figures as JSON."""
    if on is Prompts.REQUESTS:
        _refuse("--on demo", {"--outcomes": outcomes, "--demo-rows": demo_rows})
        return fit_general(out, data, members, work=work, seed=seed, frozen=frozen, processes=processes)
    several = processes if processes > 1 else None
    _refuse("--on requests", {"--frozen": frozen or None, "--work": work, "--processes": several})
    from classifiers.fitting.stage import FitConfig
    from classifiers.fitting.stage import fit as fit_classifier

    shown = f"scalpel classifier fit --rows-per-kind {rows_per_kind} --seed {seed}"
    shown += f" --demo-rows {demo_rows}" if demo_rows is not None else ""
    chosen = _data(data, demo_rows, seed, rows_per_kind)
    shown += " --data $SCALPEL_DATA" if chosen.public_root is not None else ""
    shown += " --outcomes OUTCOMES" if outcomes is not None else ""
    result = fit_classifier(FitConfig(out=out, data=chosen, outcomes=outcomes, command=shown))
    typer.echo(json.dumps({"name": result.classifier.name, "figures": dict(result.figures)}, indent=2))


def fit_judge(
    out: Annotated[Path, typer.Option(help="Directory of the fitted model.")],
    data: PublicRoot = None,
    demo_rows: Annotated[int, typer.Option(min=1, help="Draws of the demo's training stream.")] = 12_000,
) -> None:
    """Fit the judge's model of toxic replies, measure it on held-out replies, and print the figures as JSON."""
    from classifiers.fitting.judge import JudgeFitConfig
    from classifiers.fitting.judge import fit_judge as fit_toxicity

    root = _data(data, demo_rows, 0).public_root
    if root is None:
        raise CommandError("the judge is fitted on public sets; wanted --data, or $SCALPEL_DATA")
    command = f"scalpel classifier fit-judge --data $SCALPEL_DATA --demo-rows {demo_rows}"
    result = fit_toxicity(JudgeFitConfig(public_root=root, out=out, demo_rows=demo_rows, command=command))
    typer.echo(json.dumps({"name": result.classifier.name, "figures": dict(result.figures)}, indent=2))


def evaluate(
    path: Annotated[
        Path | None, typer.Argument(help="Directory of a fitted classifier; what ships if left out.")
    ] = None,
    data: PublicRoot = None,
    outcomes: OutcomesPath = None,
    demo_rows: DemoRows = None,
    rows_per_kind: RowsPerKind = 1000,
    seed: Seed = 0,
    on: On = Prompts.REQUESTS,
    file: Annotated[
        Path | None,
        typer.Option(help="JSON Lines with `text`, `harmful`, perhaps `category` and `hard`: measure on these."),
    ] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Also fit again without each family of sets, and measure on it.")
    ] = False,
    work: Work = None,
    frozen: Frozen = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
) -> None:
    """Measure fitted classifiers per category: AUROC, F1, recall at false positives on hard prompts, calibration."""
    if on is Prompts.REQUESTS:
        _refuse("--on demo", {"--outcomes": outcomes, "--demo-rows": demo_rows})
        return evaluate_general(
            path, data, file, leave_out=leave_out, work=work, seed=seed, frozen=frozen, as_json=as_json
        )
    refused = {"--file": file, "--leave-out": leave_out or None, "--work": work, "--frozen": frozen or None}
    _refuse("--on requests", refused)
    from classifiers.fitting.stage import EvaluateConfig
    from classifiers.fitting.stage import evaluate as evaluate_classifier
    from classifiers.lexical import shipped_path

    config = EvaluateConfig(
        path=path or shipped_path(), data=_data(data, demo_rows, seed, rows_per_kind), outcomes=outcomes
    )
    typer.echo(json.dumps(evaluate_classifier(config), indent=2))


def _refuse(needed: str, given: Mapping[str, object]) -> None:
    named = [option for option, value in given.items() if value is not None]
    if named:
        raise CommandError(f"{', '.join(named)} goes with {needed} only")


def _data(public_root: Path | None, demo_rows: int | None, seed: int, rows_per_kind: int = 1000) -> DataConfig:
    from classifiers.fitting.data import DataConfig

    named = os.environ.get("SCALPEL_DATA")
    root = public_root or (Path(named) if named else None)
    if root is not None and not root.is_dir():
        raise CommandError(f"{root} is not a folder; wanted the one of the public data sets")
    if demo_rows is None:
        return DataConfig(public_root=root, demo_rows_per_kind=rows_per_kind, seed=seed)
    return DataConfig(public_root=root, demo_rows=demo_rows, demo_rows_per_kind=rows_per_kind, seed=seed)
