"""`scalpel classifier fit --on requests` and `eval`: making and measuring the general classifiers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from server.cli.classifier_report import figures_table
from server.cli.failures import CommandError

if TYPE_CHECKING:
    from classifiers.base import HarmClassifier
    from classifiers.fitting.requests.stage import Progress

ALL = "lexical-requests,embedding,ensemble"


def fit_general(
    out: Path, data: Path | None, members: str, *, work: Path | None, seed: int, frozen: bool, processes: int
) -> None:
    """Fit the members, and print their figures as JSON."""
    from classifiers.fitting.requests.stage import TUNING, RequestFitConfig, fit_requests
    from classifiers.fitting.requests.work import WorkFolder
    from classifiers.requests.reading import RequestsConfig

    if processes > 1 and work is None:
        raise CommandError(f"--processes {processes} leave their scores in a folder; wanted --work")
    chosen = tuple(members.split(","))
    command = f"scalpel classifier fit --on requests --members {members} --seed {seed} --data $SCALPEL_DATA"
    command += " --frozen" if frozen else ""
    config = RequestFitConfig(
        out=out,
        data=RequestsConfig(root=public_root(data), seed=seed),
        members=chosen,
        cache=work,
        work=WorkFolder(path=work),
        tuning=None if frozen else TUNING,
        processes=processes,
        command=command,
    )
    with shown_progress() as progress:
        figures = fit_requests(config, progress)
    typer.echo(json.dumps(figures, indent=2))


def evaluate_general(
    path: Path | None,
    data: Path | None,
    file: Path | None,
    *,
    leave_out: bool,
    work: Path | None,
    seed: int,
    frozen: bool,
    as_json: bool,
) -> None:
    """Measure the shipped members, or the one in `path`, and print a table or JSON."""
    classifiers = {c.name: c for c in ([loaded(path)] if path is not None else shipped())}
    with shown_progress() as progress:
        if file is not None:
            figures = {name: _on_file(c, file, progress) for name, c in classifiers.items()}
        else:
            figures = _on_sets(
                classifiers,
                public_root(data),
                leave_out=leave_out,
                work=work,
                seed=seed,
                frozen=frozen,
                tell=progress,
            )
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
    else:
        figures_table(figures)


def public_root(named: Path | None) -> Path:
    """The folder of the public sets, from the option or the environment.

    Raises:
        CommandError: there is none.
    """
    found = named or (Path(os.environ["SCALPEL_DATA"]) if os.environ.get("SCALPEL_DATA") else None)
    if found is None or not found.is_dir():
        raise CommandError(
            f"{found or 'no folder'}: wanted the folder of the public data sets, --data or $SCALPEL_DATA"
        )
    return found


def shipped() -> list[HarmClassifier]:
    """The general members that can be loaded, the best first; those that cannot are named on stderr."""
    from classifiers import build_classifier
    from classifiers.errors import ArtifactError
    from classifiers.shipped import shipped_members, shipped_path

    found: list[HarmClassifier] = []
    for member in shipped_members():
        try:
            found.append(build_classifier(member, path=shipped_path(member)))
        except ArtifactError as error:
            typer.echo(f"{member} is left out: {error}", err=True)
    if not found:
        raise CommandError("no general classifier ships that can be loaded; name the directory of a fitted one")
    return found


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar on stderr for each thing that is done; silent where nobody watches."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), disable=not os.isatty(2), transient=True) as bars:
        tasks = {}

        def tell(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=whole)
            bars.update(tasks[what], completed=done, total=whole)

        yield tell


def loaded(path: Path) -> HarmClassifier:
    """The fitted member in a directory, whichever its card says it is."""
    from classifiers import build_classifier

    try:
        member = json.loads((path / "card.json").read_text(encoding="utf-8"))["member"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} holds no classifier's card.json: {error}") from error
    return build_classifier(member, path=path)


def _on_file(classifier: HarmClassifier, file: Path, tell: Progress) -> dict[str, float]:
    from classifiers.assessment.figures import flat, member_figures
    from classifiers.fitting.requests.measuring import scored_rows
    from classifiers.requests.lines import read_lines

    rows = read_lines(file)
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        tell(f"scoring with {classifier.name}", done, len(rows))

    return flat("file", member_figures(scored_rows(classifier, rows, advance)))


def _on_sets(
    classifiers: Mapping[str, HarmClassifier],
    root: Path,
    *,
    leave_out: bool,
    work: Path | None,
    seed: int,
    frozen: bool,
    tell: Progress,
) -> dict[str, dict[str, float]]:
    from classifiers.fitting.requests.measuring import split_figures
    from classifiers.fitting.requests.stage import PARTS, TUNING, build_recipes
    from classifiers.fitting.requests.stage import leave_out as left_out_scores
    from classifiers.fitting.requests.table import RequestTable
    from classifiers.fitting.requests.work import WorkFolder
    from classifiers.requests.reading import RequestsConfig, read_requests

    tell("reading", 0, 1)
    table = RequestTable.of(read_requests(RequestsConfig(root=root, seed=seed)))
    figures = {name: split_figures(classifier, table) for name, classifier in classifiers.items()}
    if leave_out:
        kinds = {name: name.partition(":")[0] for name in classifiers}
        needed = PARTS if "ensemble" in kinds.values() else tuple(kinds.values())
        recipes = build_recipes(table, needed, work, tell, tuning=None if frozen else TUNING)
        found = left_out_scores(table, recipes, work=WorkFolder(path=work), progress=tell)
        for name, kind in kinds.items():
            figures[name] = found.figures(kind) | figures[name]
    return figures
