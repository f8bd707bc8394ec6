"""`scalpel classifier fit-scorer`: making the files of a harm scorer again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from server.cli.failures import CommandError


def fit_scorer(
    scorer: Annotated[str, typer.Argument(help="toxicity, bias, compliance or misinformation.")],
    out: Annotated[Path, typer.Option(help="Directory of the fitted files.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the public data sets; $SCALPEL_DATA if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sampling and the fit.")] = 0,
) -> None:
    """Fit a harm scorer on the public sets, measure it on held-out rows, and print the figures as JSON."""
    named = os.environ.get("SCALPEL_DATA")
    root = data or (Path(named) if named else None)
    if root is None or not root.is_dir():
        raise CommandError(
            f"{root or 'no folder'}: wanted the folder of the public data sets, --data or $SCALPEL_DATA"
        )
    from classifiers.fitting.scorers.stage import ScorerFitConfig
    from classifiers.fitting.scorers.stage import fit_scorer as fit

    command = f"scalpel classifier fit-scorer {scorer} --data $SCALPEL_DATA --seed {seed}"
    config = ScorerFitConfig(scorer=scorer, public_root=root, out=out, seed=seed, command=command)
    typer.echo(json.dumps({"scorer": scorer, "figures": fit(config)}, indent=2))
