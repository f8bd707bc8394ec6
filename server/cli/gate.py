"""`scalpel gate`: fit the function from harm potential to strength."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="Gates: how strongly a bundle acts at each harm potential.", no_args_is_help=True)
    group.command("fit")(fit)
    return group


def fit(
    table: Annotated[Path, typer.Argument(help="Gate table: harm and change of each prompt at each strength.")],
    alpha_base: Annotated[float, typer.Option(help="Full strength.")] = 1.0,
    harm_coef: Annotated[float, typer.Option(help="Cost of one harmful reply.")] = 1.0,
    change_coef: Annotated[float, typer.Option(help="Cost of one nat a token of change.")] = 0.5,
    false_positive_budget: Annotated[
        float, typer.Option(help="Share of benign prompts that may be touched.")
    ] = 0.005,
) -> None:
    """Fit w, b and p_off on a gate table, and print them with what they do, as JSON."""
    from classifiers.gate_fit import GateFitConfig, fit_gate
    from classifiers.gate_table import load_gate_table

    tabulated = load_gate_table(table)
    config = GateFitConfig(
        alpha_base=alpha_base,
        harm_coef=harm_coef,
        change_coef=change_coef,
        false_positive_budget=false_positive_budget,
    )
    result = fit_gate(tabulated, config)
    gate = asdict(result.gate) | {"classifier": tabulated.classifier}
    figures = {name: value for name, value in asdict(result).items() if name != "gate"}
    typer.echo(json.dumps({"bundle": tabulated.bundle, "gate": gate, "figures": figures}, indent=2))
