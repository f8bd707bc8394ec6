"""`scalpel classifier card`: a fitted classifier's card as a page: what it is, what made it, how good it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli.classifier_report import COLUMNS, figure_rows, markdown, single_figures
from server.cli.failures import CommandError


def card(
    path: Annotated[
        Path | None, typer.Argument(help="Directory of a fitted classifier; all general ones that ship if left out.")
    ] = None,
) -> None:
    """Print the model card: data sets with licences, calibration, figures, the exact command."""
    from classifiers.shipped import shipped_members, shipped_path

    paths = [path] if path is not None else [shipped_path(member) for member in shipped_members()]
    if not paths:
        raise CommandError("no general classifier ships; name the directory of a fitted one")
    typer.echo("\n".join(card_page(read(found)) for found in paths))


def read(path: Path) -> dict[str, Any]:
    """The card in a directory.

    Raises:
        CommandError: there is none.
    """
    try:
        found = json.loads((path / "card.json").read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not isinstance(found.get("member"), str):
            raise CommandError(f"{path / 'card.json'} names no member; wanted a classifier's card")
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} holds no classifier's card.json: {error}") from error
    return found


def card_page(found: dict[str, Any]) -> str:
    """The page of one card."""
    parts = [f"# Classifier `{found['member']}`\n", _made(found)]
    if found.get("sources"):
        header = ["data set", "licence", "rows", *found["categories"]]
        rows = [
            [
                s["name"],
                s["licence"],
                f"{s['rows']:,}",
                *(f"{s['positives'].get(c, 0):,}" for c in found["categories"]),
            ]
            for s in found["sources"]
        ]
        parts += ["## Data that trained it\n", "Rows, and positive ones by category.\n", markdown(header, rows)]
    figures = figure_rows(found.get("figures", {}))
    if figures:
        parts += ["## Figures\n", markdown(["measured on", "category", *COLUMNS.values()], figures)]
        parts += [f"- {line}" for line in single_figures(found["figures"])]
    return "\n".join(parts)


def _made(found: dict[str, Any]) -> str:
    lines = [
        f"- Categories: {', '.join(found['categories'])}",
        f"- Made by `{found['command']}`, seed {found['seed']}",
    ]
    if "weights_sha256" in found:
        lines.append(f"- Weights: sha256 {found['weights_sha256']}")
    for part in found.get("parts", []):
        lines.append(f"- Part: {part.get('name') or part['member']}")
    # Lexical cards tell how they were calibrated; the others hold the calibration itself, and words beside it.
    words = found.get("calibrated_on") or found.get("calibration", {})
    told = sorted({text for text in words.values() if isinstance(text, str)})
    lines += [f"- Calibrated: {text}" for text in told]
    return "\n".join(lines) + "\n"
