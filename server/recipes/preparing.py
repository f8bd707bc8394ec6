"""From what a command names to a run: recipe, model and changes read, looked up, and the model's files at hand."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from server.recipes.base import base_directory, base_options
from server.recipes.checks import check_names
from server.recipes.file import Recipe, read_recipe
from server.recipes.layers import model_file, model_wanted, shown_change
from server.recipes.rehearsal import rehearsal
from server.recipes.stages import RecipeRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a command was told."""

    recipe: Path
    model: str | None = None
    """A model's file, or its name in `models` beside the recipe; None for the recipe's own model."""
    changes: tuple[str, ...] = ()
    """`section.key=value` each."""
    rehearse: bool = False

    @property
    def command(self) -> str:
        """The same as a command line; what is written into artifacts says how they were made, not where."""
        words = ["scalpel", "recipe", "run", self.recipe.name]
        words += [] if self.model is None else ["--model", Path(self.model).name.removesuffix(".yaml")]
        words += [word for change in self.changes for word in ("--set", shown_change(change))]
        return shlex.join([*words, *(["--rehearse"] if self.rehearse else [])])

    def folder_name(self, recipe: Recipe) -> str:
        """What the folder of the stages' artifacts is called unless another is named: NAME, or NAME.MODEL."""
        model = [] if self.model is None else [model_file(self.recipe, self.model).stem]
        return ".".join([recipe.name, *model, *(["rehearsal"] if self.rehearse else [])])


def requested_recipe(request: RunRequest) -> Recipe:
    """The recipe as it will run, every default filled in.

    Raises:
        ConfigError: a file cannot be read, is no recipe, or names no model.
    """
    found = read_recipe(request.recipe, request.model, request.changes)
    if found.model is None:
        raise model_wanted(request.recipe)
    return rehearsal(found) if request.rehearse else found


def prepared_run(request: RunRequest, recipe: Recipe) -> RecipeRun:
    """The run of a recipe: what it names is looked up first, then its model is fetched.

    Raises:
        ConfigError, PairsError, ClassifiersError: something that it names does not exist, or cannot be had.
    """
    check_names(recipe)
    if recipe.model is None:
        raise model_wanted(request.recipe)
    return RecipeRun(
        recipe=recipe,
        model=base_directory(recipe.model),
        base=base_options(recipe.model),
        command=request.command,
        rehearsal=request.rehearse,
    )
