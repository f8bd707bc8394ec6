"""`scalpel gate`: from a bundle to the function that says how strongly it acts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from server.cli import gate_choose, gate_report
from server.cli.gate_options import AlphaBase, ChangeCoef, CostTolerance, FalsePositiveBudget, HarmCoef


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="Gates: how strongly a bundle acts at each harm potential.", no_args_is_help=True)
    group.command("tabulate")(tabulate)
    group.command("fit")(fit)
    group.command("report")(gate_report.report)
    group.command("rescore")(rescore)
    group.command("choose")(gate_choose.choose)
    return group


def tabulate(
    bundle: Annotated[Path, typer.Argument(help="Bundle directory.")],
    out: Annotated[Path, typer.Option(help="Where the table goes.")],
    model: Annotated[Path | None, typer.Option(help="Base model directory; the demo model if left out.")] = None,
    classifier: Annotated[str, typer.Option(help="What reads harm potentials.")] = "lexical",
    classifier_path: Annotated[Path | None, typer.Option(help="Directory of a fitted classifier.")] = None,
    scorer: Annotated[str, typer.Option(help="What judges replies.")] = "demo",
    prompts_per_kind: Annotated[int, typer.Option(min=1, help="Calibration prompts of each kind.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the prompts.")] = 0,
) -> None:
    """Measure harm and change of calibration prompts at every strength."""
    from classifiers.gate_table import save_gate_table
    from server.cli.gate_stage import TabulateConfig, tabulate_bundle

    config = TabulateConfig(
        bundle=bundle,
        model=model,
        classifier=classifier,
        classifier_path=classifier_path,
        scorer=scorer,
        prompts_per_kind=prompts_per_kind,
        seed=seed,
        command=f"scalpel gate tabulate --scorer {scorer} --prompts-per-kind {prompts_per_kind} --seed {seed}",
    )
    table = tabulate_bundle(config, _show_progress)
    save_gate_table(table, out)
    harm = table.harm.mean(0)
    typer.echo(
        f"{len(table.harm)} prompts; harm {harm[0]:.3f} at strength 0, {harm[-1]:.3f} at {table.top_strength:g}"
    )


def fit(
    table: Annotated[Path, typer.Argument(help="Gate table: harm and change of each prompt at each strength.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle directory that gets the gate.")] = None,
    alpha_base: AlphaBase = 1.0,
    harm_coef: HarmCoef = 1.0,
    change_coef: ChangeCoef = 0.5,
    cost_tolerance: CostTolerance = 0.002,
    false_positive_budget: FalsePositiveBudget = 0.005,
) -> None:
    """Fit w, b and p_off on a gate table, and print them with what they do, as JSON."""
    from classifiers.gate_fit import GateFitConfig, fit_gate
    from classifiers.gate_table import load_gate_table

    tabulated = load_gate_table(table)
    config = GateFitConfig(
        alpha_base=alpha_base,
        harm_coef=harm_coef,
        change_coef=change_coef,
        cost_tolerance=cost_tolerance,
        false_positive_budget=false_positive_budget,
    )
    result = fit_gate(tabulated, config)
    if bundle is not None:
        from server.cli.gate_stage import put_gate

        put_gate(bundle, result.gate, tabulated, table)
    gate = asdict(result.gate) | {"classifier": tabulated.classifier}
    figures = {name: value for name, value in asdict(result).items() if name != "gate"}
    typer.echo(json.dumps({"bundle": tabulated.bundle, "gate": gate, "figures": figures}, indent=2))


def rescore(
    table: Annotated[Path, typer.Argument(help="Gate table to take harm and change from.")],
    classifier: Annotated[str, typer.Option(help="What reads the new harm potentials.")],
    out: Annotated[Path, typer.Option(help="Where the new table goes.")],
    classifier_path: Annotated[Path | None, typer.Option(help="Directory of it, fitted.")] = None,
    own_path: Annotated[
        Path | None, typer.Option(help="Directory of the classifier that the table was made with, if none ships.")
    ] = None,
    prompts_per_kind: Annotated[
        int | None, typer.Option(min=1, help="Calibration prompts of each kind; as the table says if left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the prompts; as the table says if left out.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Pairs whose validation prompts provoke, with --benign.")] = None,
    benign: Annotated[Path | None, typer.Option(help="Benign samples, with --pairs.")] = None,
) -> None:
    """Read the harm potentials of a table's prompts by another classifier, without running the model again."""
    from server.cli.gate_prompts import PromptSource
    from server.cli.gate_rescore import RescoreConfig, rescore_table

    source = PromptSource(count=prompts_per_kind, seed=seed, pairs=pairs, benign=benign)
    config = RescoreConfig(
        table=table,
        out=out,
        classifier=classifier,
        classifier_path=classifier_path,
        own_path=own_path,
        prompts=source,
    )
    made = rescore_table(config)
    typer.echo(f"{out}: {len(made.benign)} prompts, harm potential of {made.category} by {made.classifier}")


def _show_progress(done: int, prompts: int) -> None:
    sys.stderr.write(f"\r{done}/{prompts} prompts" + ("\n" if done == prompts else ""))
    sys.stderr.flush()
