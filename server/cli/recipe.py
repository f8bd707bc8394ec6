"""`scalpel recipe`: everything that a recipe says, from prompts to a bundle, resumed where it stopped."""

from __future__ import annotations

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
    group.command("plan")(plan)
    group.command("show")(show)
    return group


RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="The model's file, or its name in `models` beside the recipe."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.key=value, over what the files say; repeat for several."),
]
Rehearse = Annotated[
    bool,
    typer.Option("--rehearse", help="Go through every stage at the least sizes; the bundle is not fit to serve."),
]


def run(
    recipe: RecipePath,
    model: ModelName = None,
    changes: Changes = None,
    rehearse: Rehearse = False,
    work: Annotated[
        Path | None, typer.Option(help="Folder of the stages' artifacts; runs/NAME.MODEL if left out.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The last stage to run; all if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where a copy of the bundle goes.")] = None,
) -> None:
    """Run what is not finished, and say where the bundle is."""
    from breakers.errors import StageError
    from breakers.pipeline.runner import run_stages
    from server.recipes.output import copy_bundle
    from server.recipes.preparing import RunRequest, prepared_run, requested_recipe
    from server.recipes.stages import recipe_stages

    if out is not None and until not in (None, "bundle"):
        raise StageError(f"--until {until} makes no bundle; leave --out away")
    request = RunRequest(recipe=recipe, model=model, changes=tuple(changes or ()), rehearse=rehearse)
    read = requested_recipe(request)
    folder = work or Path("runs") / request.folder_name(read)
    stages = recipe_stages(prepared_run(request, read))
    try:
        done = run_stages(stages, folder, request.command, _reporter, until)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nscalpel: stopped; finished stages in {folder} are whole, and the next run goes on\n")
        raise typer.Exit(INTERRUPTED) from None
    for outcome in done:
        typer.echo(f"{outcome.stage}: {'made' if outcome.ran else 'was there'}, {outcome.folder}")
    if out is not None:
        copy_bundle(done[-1].folder / read.name, out)
        typer.echo(f"bundle: {out}")
    if rehearse:
        typer.echo("a rehearsal: every stage ran; the bundle is not fit to serve")


def show(recipe: RecipePath, model: ModelName = None, changes: Changes = None, rehearse: Rehearse = False) -> None:
    """Print a recipe with its model and every default filled in, as JSON."""
    from server.recipes.preparing import RunRequest, requested_recipe

    request = RunRequest(recipe=recipe, model=model, changes=tuple(changes or ()), rehearse=rehearse)
    typer.echo(requested_recipe(request).model_dump_json(indent=2))


def plan(recipe: RecipePath, model: ModelName = None, changes: Changes = None, rehearse: Rehearse = False) -> None:
    """Say what a run would do, stage by stage, and what it would cost; nothing is downloaded or computed."""
    from server.recipes.plan import plan_lines
    from server.recipes.preparing import RunRequest

    request = RunRequest(recipe=recipe, model=model, changes=tuple(changes or ()), rehearse=rehearse)
    typer.echo("\n".join(plan_lines(request)))


def _reporter(stage: str) -> Callable[[str, int, int], None]:
    def tell(what: str, done: int, of: int) -> None:
        counted = f" {done}/{of}" if of else (f" {done}" if done else "")
        # The line before may be longer; without a terminal each is a line of its own.
        begin, end = ("\r\x1b[K", "\n" if of and done >= of else "") if sys.stderr.isatty() else ("", "\n")
        sys.stderr.write(f"{begin}{stage}: {what}{counted}{end}")
        sys.stderr.flush()

    return tell
