"""`scalpel recipe`: everything that a recipe says, from prompts to a bundle, resumed where it stopped."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130
"""Exit status of a command that was stopped by Ctrl-C, as shells have it."""


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="Recipes: from prompts to a verified bundle, in one file.", no_args_is_help=True)
    group.command("run")(run)
    group.command("show")(show)
    return group


def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    work: Annotated[Path | None, typer.Option(help="Folder of the stages' artifacts; runs/NAME if left out.")] = None,
    until: Annotated[str | None, typer.Option(help="The last stage to run; all if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where a copy of the bundle goes.")] = None,
) -> None:
    """Run what is not finished, and say where the bundle is."""
    from breakers.errors import StageError
    from breakers.pipeline.runner import run_stages
    from server.recipes.file import read_recipe
    from server.recipes.output import copy_bundle
    from server.recipes.stages import RecipeRun, recipe_stages

    read = read_recipe(recipe)
    folder = work or Path("runs") / read.name
    if out is not None and until not in (None, "bundle"):
        raise StageError(f"--until {until} makes no bundle; leave --out away")
    # What is written into artifacts says how they were made, not where.
    stages = recipe_stages(
        RecipeRun(recipe=read, folder=recipe.parent, command=shlex.join(["scalpel", "recipe", "run", recipe.name]))
    )
    try:
        done = run_stages(stages, folder, f"scalpel recipe run {recipe.name}", _reporter, until)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nscalpel: stopped; finished stages in {folder} are whole, and the next run goes on\n")
        raise typer.Exit(INTERRUPTED) from None
    for outcome in done:
        typer.echo(f"{outcome.stage}: {'made' if outcome.ran else 'was there'}, {outcome.folder}")
    if out is not None:
        copy_bundle(done[-1].folder / read.name, out)
        typer.echo(f"bundle: {out}")


def show(recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")]) -> None:
    """Print a recipe with every default filled in, as JSON."""
    from server.recipes.file import read_recipe

    typer.echo(read_recipe(recipe).model_dump_json(indent=2))


def _reporter(stage: str) -> Callable[[str, int, int], None]:
    def tell(what: str, done: int, of: int) -> None:
        counted = f" {done}/{of}" if of else (f" {done}" if done else "")
        # The line before may be longer; without a terminal each is a line of its own.
        begin, end = ("\r\x1b[K", "\n" if of and done >= of else "") if sys.stderr.isatty() else ("", "\n")
        sys.stderr.write(f"{begin}{stage}: {what}{counted}{end}")
        sys.stderr.flush()

    return tell
