"""`scalpel gate choose`: which variant of a behaviour acts at which harm potential, and whether choosing helps."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    from classifiers.choices.file import ChoiceFile
    from classifiers.choices.fitting import ChoiceConfig, ChoiceResult
    from classifiers.gate_table import GateTable


def choose(
    tables: Annotated[list[Path], typer.Argument(help="A gate table of each variant, on the same prompts.")],
    out: Annotated[Path, typer.Option(help="Where choice.json goes.")],
    most_segments: Annotated[int, typer.Option(min=1, help="Most intervals of harm potential.")] = 3,
    alpha_base: AlphaBase = 1.0,
    harm_coef: HarmCoef = 1.0,
    change_coef: ChangeCoef = 0.5,
    cost_tolerance: CostTolerance = 0.002,
    false_positive_budget: FalsePositiveBudget = 0.005,
    folds: Folds = 5,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    as_table: AsTable = False,
) -> None:
    """Fit a choice among variants, compare it with the best single one, and write it."""
    from breakers.bundles.store import sha256
    from classifiers.choices.file import save_choice
    from classifiers.choices.fitting import ChoiceConfig, fit_choice
    from classifiers.gate_fit import GateFitConfig
    from classifiers.gate_table import load_gate_table
    from classifiers.gates.report import ReportConfig

    fit = GateFitConfig(
        alpha_base=alpha_base,
        harm_coef=harm_coef,
        change_coef=change_coef,
        cost_tolerance=cost_tolerance,
        false_positive_budget=false_positive_budget,
    )
    judged = ReportConfig(fit=fit, folds=folds, seed=seed, resamples=resamples)
    config = ChoiceConfig(judged=judged, most_segments=most_segments)
    read = [load_gate_table(path) for path in tables]
    result = fit_choice(read, config)
    hashes = [sha256(path.read_bytes()) for path in tables]
    made = choice_file(read, hashes, result, config, shlex.join(["scalpel", *sys.argv[1:]]))
    save_choice(made, out)
    if as_table:
        print_choice(result)
    else:
        shown = made.model_dump(mode="json") | {"on_all": figures_as_json(result.on_all), "verdict": verdict(result)}
        typer.echo(json.dumps(shown, indent=2))


def choice_file(
    tables: Sequence[GateTable], hashes: Sequence[str], result: ChoiceResult, config: ChoiceConfig, command: str
) -> ChoiceFile:
    """The result as it is kept."""
    from classifiers.choices.file import ChoiceFile

    first, judged, fit = tables[0], config.judged, config.judged.fit
    variants = [
        {
            "bundle": table.bundle,
            "weights_sha256": table.weights_sha256,
            "table_sha256": found,
            "gate": {
                name: getattr(result.choice.gate_of(table.bundle), name) for name in ("alpha_base", "w", "b", "p_off")
            }
            | {"classifier": table.classifier},
        }
        for table, found in zip(tables, hashes, strict=True)
    ]
    settings = {
        "alpha_base": fit.alpha_base,
        "harm_coef": fit.harm_coef,
        "change_coef": fit.change_coef,
        "cost_tolerance": fit.cost_tolerance,
        "false_positive_budget": fit.false_positive_budget,
        "most_segments": config.most_segments,
        "folds": judged.folds,
        "seed": judged.seed,
        "resamples": judged.resamples,
    }
    return ChoiceFile.model_validate(
        {
            "category": first.category,
            "classifier": first.classifier,
            "scorer": first.scorer,
            "base_fingerprint": first.base_fingerprint,
            "prompts": len(first.benign),
            "variants": variants,
            "segments": [{"start": s.start, "bundle": s.bundle} for s in result.choice.segments],
            "single": result.single,
            "beats_single": result.beats_single,
            "settings": settings,
            "cross_fitted": figures_as_json(result.cross_fitted),
            "command": command,
        }
    )


def verdict(result: ChoiceResult) -> str:
    """What was decided, in a sentence."""
    gain = figure_cell(result.cross_fitted["gain"])
    if result.beats_single:
        return f"the rule costs less than always {result.single}, cross-fitted by {gain}: it is the choice"
    return (
        f"the rule does not beat always {result.single}: cross-fitted it costs less by {gain}; the choice is "
        f"{result.single} alone"
    )


def print_choice(result: ChoiceResult) -> None:
    """Print the ways beside each other, the rule's segments, and the verdict."""
    from rich.table import Table

    console = wide_console()
    ways = [*(f"always.{variant.bundle}" for variant in result.choice.variants), "rule"]
    shown = Table(title="cross-fitted, 95 % intervals over prompts", title_justify="left")
    columns = ("harm", "change", "cost", "strength", "benign_off_share")
    for column in ("", *(name.replace("_", " ") for name in columns)):
        shown.add_column(column, justify="right" if column else "left")
    for way in ways:
        shown.add_row(
            way.replace(".", " ", 1), *(figure_cell(result.cross_fitted[f"{way}.{column}"]) for column in columns)
        )
    console.print(shown)
    for segment in result.rule.segments:
        console.print(f"rule: from harm potential {segment.start:.4f} {segment.bundle}")
    console.print(verdict(result))
