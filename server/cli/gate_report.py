"""`scalpel gate report`: what a gate does to the prompts of its table, on all of them and cross-fitted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.gate_options import (
    AlphaBase,
    AsTable,
    ChangeCoef,
    CostTolerance,
    FalsePositiveBudget,
    Folds,
    HarmCoef,
    Resamples,
    Seed,
    figure_cell,
    figures_as_json,
    wide_console,
)

if TYPE_CHECKING:
    from classifiers.gate_table import GateTable
    from classifiers.gates.report import GateReport, ReportConfig


def report(
    table: Annotated[Path, typer.Argument(help="Gate table: harm and change of each prompt at each strength.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle whose gate is judged; one is fitted on the table if left out.")
    ] = None,
    alpha_base: AlphaBase = 1.0,
    harm_coef: HarmCoef = 1.0,
    change_coef: ChangeCoef = 0.5,
    cost_tolerance: CostTolerance = 0.002,
    false_positive_budget: FalsePositiveBudget = 0.005,
    folds: Folds = 5,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    curve: Annotated[
        Path | None, typer.Option(help="Draw the curve into this .png or .svg; needs matplotlib.")
    ] = None,
    as_table: AsTable = False,
) -> None:
    """Print the curve, harm, change and cost under the gate, and its regret, with intervals over prompts."""
    from breakers.bundles.store import sha256, write_atomically
    from classifiers.gate_fit import GateFitConfig
    from classifiers.gate_table import load_gate_table
    from classifiers.gates.report import ReportConfig, report_gate

    tabulated = load_gate_table(table)
    fit = GateFitConfig(
        alpha_base=alpha_base,
        harm_coef=harm_coef,
        change_coef=change_coef,
        cost_tolerance=cost_tolerance,
        false_positive_budget=false_positive_budget,
    )
    config = ReportConfig(fit=fit, folds=folds, seed=seed, resamples=resamples)
    if bundle is None:
        found = report_gate(tabulated, config)
    else:
        from server.cli.gate_stage import gate_for

        found = report_gate(tabulated, config, gate_for(bundle, tabulated))
    if curve is not None:
        from classifiers.gates.picture import curve_picture

        write_atomically(curve, curve_picture(tabulated, found, curve.suffix.removeprefix(".")))
    if as_table:
        print_report(tabulated, found)
    else:
        typer.echo(json.dumps(report_json(tabulated, found, config, sha256(table.read_bytes())), indent=2))


def report_json(table: GateTable, report: GateReport, config: ReportConfig, table_sha256: str) -> dict[str, Any]:
    """Everything that was found, and what it was found on."""
    return {
        "bundle": table.bundle,
        "category": table.category,
        "classifier": table.classifier,
        "scorer": table.scorer,
        "weights_sha256": table.weights_sha256,
        "base_fingerprint": table.base_fingerprint,
        "table_sha256": table_sha256,
        "prompts": len(table.benign),
        "benign_prompts": int(table.benign.sum()),
        "config": asdict(config),
        "gate": asdict(report.gate) | {"from": "bundle" if report.given else "fit"},
        "curve": [
            {name: None if value != value else value for name, value in asdict(step).items()} for step in report.steps
        ],
        "on_all": figures_as_json(report.on_all),
        "cross_fitted": figures_as_json(report.cross_fitted),
        "fold_gates": [asdict(gate) for gate in report.fold_gates],
    }


def print_report(table: GateTable, report: GateReport) -> None:
    """Print the curve and the figures as tables."""
    from rich.table import Table

    console = wide_console()
    steps = Table(title=f"{table.bundle}, harm potential by {table.classifier}", title_justify="left")
    for column in ("harm potential from", "strength", "benign prompts", "other prompts"):
        steps.add_column(column, justify="right")
    for step in report.steps:
        steps.add_row(
            f"{step.harm_potential:.4f}",
            f"{step.strength:g}",
            f"{100 * step.benign:.1f} %",
            f"{100 * step.other:.1f} %",
        )
    console.print(steps)
    figures = Table(title=f"{len(table.benign)} prompts, 95 % intervals over prompts", title_justify="left")
    for column in ("mean", "on all prompts", "cross-fitted"):
        figures.add_column(column, justify="left" if column == "mean" else "right")
    for name, found in report.on_all.items():
        figures.add_row(name.replace("_", " "), figure_cell(found), figure_cell(report.cross_fitted[name]))
    console.print(figures)
