"""Stage `fit` of the general classifiers: configuration -> a directory each, called as the member."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from classifiers.artifact import save_artifact
from classifiers.assessment.leave_out import leave_out_figures
from classifiers.assessment.scored import ScoredRows
from classifiers.base import HarmClassifier
from classifiers.errors import UnknownMemberError
from classifiers.fitting.requests.calibrating import cross_calibrated, fit_scalings, pooled_scores
from classifiers.fitting.requests.embedding import EmbeddingRecipe, build_embedding
from classifiers.fitting.requests.ensemble import ensemble_card
from classifiers.fitting.requests.folds import FoldScores, fold_scores, pooled
from classifiers.fitting.requests.lexical import LexicalRecipe, build_lexical
from classifiers.fitting.requests.measuring import split_figures
from classifiers.fitting.requests.parallel import fill_folds
from classifiers.fitting.requests.provenance import source_cards
from classifiers.fitting.requests.recipes import CATEGORIES, Recipe
from classifiers.fitting.requests.stacking import calibrated_odds, cross_stacked, fit_stacking
from classifiers.fitting.requests.table import RequestTable
from classifiers.fitting.requests.tuned import TunedRecipe, build_tuned
from classifiers.fitting.requests.tuning import TuningSettings
from classifiers.fitting.requests.work import WorkFolder
from classifiers.lexical_requests import RequestsLexicalClassifier
from classifiers.requests.reading import RequestsConfig, read_requests

LEXICAL: Literal["lexical-requests"] = "lexical-requests"
EMBEDDING: Literal["embedding"] = "embedding"
ENSEMBLE = "ensemble"
PARTS = (LEXICAL, EMBEDDING)
MEMBERS = (*PARTS, ENSEMBLE)

TUNING = TuningSettings()
"""What a fit of the embedding member takes unless told otherwise."""

PartRecipe = LexicalRecipe | EmbeddingRecipe | TunedRecipe

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, how much there is)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFitConfig:
    """What decides the fitted classifiers."""

    out: Path
    """Directory of the members' directories."""
    data: RequestsConfig
    members: Sequence[str] = MEMBERS
    """Of `MEMBERS`; the ensemble needs its parts."""
    cache: Path | None = None
    """Folder of sentence vectors that are kept between fits."""
    work: WorkFolder = field(default_factory=WorkFolder)
    tuning: TuningSettings | None = TUNING
    """How the encoder's upper layers are fine-tuned; None leaves them as they come."""
    processes: int = 1
    """That leave families out side by side; more than one need a work folder."""
    command: str = "scalpel classifier fit --on requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutScores:
    """Leave-one-dataset-out scores of every member, calibrated on other families."""

    folds: Mapping[str, Sequence[FoldScores]]
    """Part -> its uncalibrated scores."""
    scored: Mapping[str, Mapping[str, ScoredRows]]
    """Member -> family -> rows."""

    def figures(self, member: str) -> dict[str, float]:
        """`lodo...` of one member."""
        part = next(iter(self.folds.values()))
        return leave_out_figures("lodo", self.scored[member], pooled_scores(part, self.scored[member]))


def fit_requests(config: RequestFitConfig, progress: Progress = lambda *_: None) -> dict[str, dict[str, float]]:
    """Read, fit, calibrate on left-out families, measure and write; the figures of each member.

    Raises:
        UnknownMemberError: a member is not fitted here.
        FitError: the rows do not suffice.
        SourceFormatError: a data file is not in its published format.
        ArtifactError: the encoder's package is not installed.
    """
    refused = sorted(set(config.members) - set(MEMBERS))
    if refused or (ENSEMBLE in config.members and not set(PARTS) <= set(config.members)):
        raise UnknownMemberError(
            f"members {list(config.members)}; wanted some of {MEMBERS}, the last with the others"
        )
    progress("reading", 0, 1)
    table = RequestTable.of(read_requests(config.data))
    return fit_on_table(table, config, progress)


def fit_on_table(
    table: RequestTable, config: RequestFitConfig, progress: Progress = lambda *_: None
) -> dict[str, dict[str, float]]:
    """As `fit_requests`, on rows that are already read."""
    recipes = build_recipes(table, config.members, config.cache, progress, tuning=config.tuning)
    if config.processes > 1:
        _leave_out_side_by_side(table, recipes, config, progress)
    left_out = leave_out(table, recipes, work=config.work, progress=progress)
    built: dict[str, HarmClassifier] = {}
    figures: dict[str, dict[str, float]] = {}
    for member in config.members:
        progress(f"fitting {member}", 0, 1)
        own = left_out.figures(member)
        if member == ENSEMBLE:
            _write_ensemble(table, left_out, built, config, {})
        else:
            built[member] = _write_part(recipes[member], left_out.folds[member], config, {})
        measured = split_figures(_reloaded(member, config.out), table)
        figures[member] = own | measured
        if member == ENSEMBLE:
            _write_ensemble(table, left_out, built, config, figures[member])
        else:
            _write_part(recipes[member], left_out.folds[member], config, figures[member])
    return figures


def build_recipes(
    table: RequestTable,
    members: Sequence[str],
    cache: Path | None,
    progress: Progress = lambda *_: None,
    *,
    tuning: TuningSettings | None = TUNING,
) -> dict[str, PartRecipe]:
    """The recipes of the parts among `members`; without `tuning` the encoder stays as it comes."""
    recipes: dict[str, PartRecipe] = {}
    if LEXICAL in members:
        recipes[LEXICAL] = LexicalRecipe(table)
    if EMBEDDING in members:
        from classifiers.embedding import SentenceEncoder

        frozen = EmbeddingRecipe(
            table,
            SentenceEncoder.load(),
            cache=cache,
            progress=lambda done, whole: progress("encoding", done, whole),
        )
        recipes[EMBEDDING] = frozen if tuning is None else TunedRecipe(frozen, tuning, cache=cache, progress=progress)
    return recipes


def leave_out(
    table: RequestTable,
    recipes: Mapping[str, Recipe],
    *,
    work: WorkFolder,
    progress: Progress = lambda *_: None,
) -> LeftOutScores:
    """Leave-one-dataset-out scores of every recipe, and of the ensemble where both parts are there.

    Raises:
        FitError: the rows of a fold do not suffice.
    """
    folds = table.folds()
    found: dict[str, Sequence[FoldScores]] = {}
    for member, recipe in recipes.items():
        done = iter(range(1, len(folds) + 1))
        found[member] = fold_scores(
            table,
            recipe,
            folds,
            work=work,
            progress=lambda _, m=member, d=done: progress(f"leaving families out: {m}", next(d), len(folds)),  # type: ignore[misc]
        )
    scored = {member: cross_calibrated(table, parts) for member, parts in found.items()}
    if set(PARTS) <= set(found):
        scored[ENSEMBLE] = cross_stacked(table, [found[part] for part in PARTS])
    return LeftOutScores(folds=found, scored=scored)


def _leave_out_side_by_side(
    table: RequestTable, recipes: Mapping[str, PartRecipe], config: RequestFitConfig, progress: Progress
) -> None:
    for member, recipe in recipes.items():
        if isinstance(recipe, TunedRecipe):
            # What every process needs, made once and shared through the folder.
            _ = recipe.frozen.vectors, recipe.states
        fill_folds(
            table,
            partial(part_recipe, member=member, cache=config.cache, tuning=config.tuning),
            table.folds(),
            work=config.work,
            processes=config.processes,
            progress=partial(progress, f"leaving families out: {member}"),
        )


def part_recipe(table: RequestTable, *, member: str, cache: Path | None, tuning: TuningSettings | None) -> PartRecipe:
    """The recipe of one part."""
    return build_recipes(table, (member,), cache, tuning=tuning)[member]


def _write_part(
    recipe: PartRecipe,
    found: Sequence[FoldScores],
    config: RequestFitConfig,
    figures: Mapping[str, float],
) -> HarmClassifier:
    table, train = recipe.table, recipe.table.training()
    numbers, logits = pooled(found)
    scalings = fit_scalings(table, numbers, logits)
    may = sum(row.trains for row in table.at(numbers))
    words = f"Platt scaling on {may} rows, each scored by a fit without its family"
    path = config.out / recipe.name
    if isinstance(recipe, LexicalRecipe):
        lexical = build_lexical(
            recipe,
            train,
            scalings,
            seed=config.data.seed,
            command=config.command,
            calibration=words,
            figures=figures,
        )
        save_artifact(lexical.card, lexical.tensors.serialise(), path)
        return RequestsLexicalClassifier(lexical)
    from classifiers.embedding import save_embedding

    seed, command = config.data.seed, config.command
    if isinstance(recipe, TunedRecipe):
        made = build_tuned(recipe, train, scalings, seed=seed, command=command, calibration=words, figures=figures)
    else:
        made = build_embedding(
            recipe, train, scalings, seed=seed, command=command, calibration=words, figures=figures
        )
    save_embedding(made.classifier.card, made.classifier.tensors, path, layers=made.layers)
    return made.classifier


def _write_ensemble(
    table: RequestTable,
    left_out: LeftOutScores,
    built: Mapping[str, HarmClassifier],
    config: RequestFitConfig,
    figures: Mapping[str, float],
) -> None:
    from classifiers.ensemble import save_ensemble

    odds = []
    for part in PARTS:
        numbers, logits = pooled(left_out.folds[part])
        odds.append(calibrated_odds(logits, fit_scalings(table, numbers, logits)))
    card = ensemble_card(
        [(LEXICAL, built[LEXICAL].name), (EMBEDDING, built[EMBEDDING].name)],
        fit_stacking(table, numbers, odds),
        sources=source_cards(table.at(table.training()), CATEGORIES),
        seed=config.data.seed,
        command=config.command,
        calibration="logistic regression on the parts' log-odds, each row scored by fits without its family",
        figures=figures,
    )
    save_ensemble(card, config.out / ENSEMBLE)


def _reloaded(member: str, out: Path) -> HarmClassifier:
    """What was just written, as anyone else would load it."""
    from classifiers import build_classifier

    return build_classifier(member, path=out / member)
