"""Folds on several processes: each fills the work folder, where the one that asked finds the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

from classifiers.errors import FitError
from classifiers.fitting.requests.folds import fold_scores
from classifiers.fitting.requests.recipes import Recipe
from classifiers.fitting.requests.table import RequestTable
from classifiers.fitting.requests.work import WorkFolder
from classifiers.requests.leaving_out import LeftOut

MakeRecipe = Callable[[RequestTable], Recipe]
"""Importable by name, as each process makes its own recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    table: RequestTable
    recipe: Recipe
    work: WorkFolder


_worker: _Worker | None = None
"""Of this process; None in the one that asks."""


def fill_folds(
    table: RequestTable,
    make: MakeRecipe,
    folds: Sequence[LeftOut],
    *,
    work: WorkFolder,
    processes: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Score every fold that the work folder does not hold yet.

    Args:
        table: of the rows.
        make: makes the recipe in each process; a function of a module, or a `partial` of one.
        folds: what is left out in turn.
        work: with a path.
        processes: how many at a time; each takes one thread.
        progress: told (folds done, folds in all).

    Raises:
        FitError: the work folder has no path, or a fold's rows do not suffice.
    """
    if work.path is None:
        raise FitError(f"{processes} processes and no work folder; wanted a folder in which they leave their scores")
    spawned = get_context("spawn")
    with ProcessPoolExecutor(processes, spawned, _start, (table, make, work)) as pool:
        asked = [pool.submit(_score, fold) for fold in folds]
        for done, found in enumerate(as_completed(asked), start=1):
            found.result()
            progress(done, len(folds))


def _start(table: RequestTable, make: MakeRecipe, work: WorkFolder) -> None:
    import torch

    global _worker
    torch.set_num_threads(1)
    _worker = _Worker(table=table, recipe=make(table), work=work)


def _score(fold: LeftOut) -> None:
    if _worker is None:
        raise FitError("this process was not started by a pool of folds")
    fold_scores(_worker.table, _worker.recipe, [fold], work=_worker.work)
