"""Folds see nothing of what they measure; their scores are kept, and calibrated on others."""

from dataclasses import replace

import numpy as np
import pytest
from labelled_requests import made_up_data, made_up_table

from classifiers.assessment.leave_out import leave_out_figures, mean_auroc
from classifiers.assessment.scored import OVERALL, ScoredRows
from classifiers.errors import FitError
from classifiers.fitting.metrics import auroc
from classifiers.fitting.prompts import Split
from classifiers.fitting.requests.calibrating import cross_calibrated, fit_scalings, pooled_scores
from classifiers.fitting.requests.folds import FoldScores, fold_scores, pooled
from classifiers.fitting.requests.lexical import LexicalRecipe, LexicalSettings
from classifiers.fitting.requests.provenance import source_cards
from classifiers.fitting.requests.recipes import CATEGORIES
from classifiers.fitting.requests.stacking import cross_stacked, fit_stacking, stacked
from classifiers.fitting.requests.table import RequestTable
from classifiers.fitting.requests.work import WorkFolder
from classifiers.lexical.hashing import Hashing
from classifiers.requests.leaving_out import LeftOut

SMALL = LexicalSettings(hashing=Hashing(bits=12))


def test_a_fold_trains_on_nothing_that_it_measures() -> None:
    table = made_up_table()
    [east] = [fold for fold in table.folds() if fold.family == "east"]
    train = table.at(table.training(east))
    assert {row.family for row in train} == {"north", "south", "own"}
    assert {row.family for row in table.at(table.measured(east))} == {"east"}
    assert all(row.trains for row in table.at(table.training()))
    assert len(table.training(east)) + sum(r.family == "east" for r in table.at(table.training())) == len(
        table.training()
    )


def test_a_row_that_shares_a_source_prompt_with_a_measured_one_does_not_train() -> None:
    data = made_up_data()
    rows = list(data.by_split[Split.TRAIN])
    place = next(i for i, row in enumerate(rows) if row.family == "north")
    rows[place] = replace(rows[place], group="east 0")
    table = RequestTable.of(replace(data, by_split={**data.by_split, Split.TRAIN: rows}))
    assert "east 0" in {row.group for row in table.at(table.training())}
    fold = LeftOut(family="east", benign=("east",))
    assert "east 0" not in {row.group for row in table.at(table.training(fold))}
    with pytest.raises(FitError, match="no rows are left"):
        RequestTable.of(replace(data, by_split={split: [] for split in Split})).training()


def test_scores_are_kept_and_found_again(tmp_path) -> None:
    table = made_up_table()
    recipe, folds, told = LexicalRecipe(table, SMALL), made_up_table().folds(), []
    first = fold_scores(table, recipe, folds, work=WorkFolder(path=tmp_path), progress=told.append)
    assert told == [fold.family for fold in folds]

    class Broken(LexicalRecipe):
        def scores(self, train, unseen):
            raise AssertionError("asked again")

    again = fold_scores(table, Broken(table, SMALL), folds, work=WorkFolder(path=tmp_path))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)
    with pytest.raises(AssertionError, match="asked again"):
        fold_scores(table, Broken(table, replace(SMALL, regularisation=9.0)), folds, work=WorkFolder(path=tmp_path))
    next(tmp_path.glob("*.npy")).write_bytes(b"half")
    with pytest.raises(FitError, match="cannot be read"):
        fold_scores(table, recipe, folds, work=WorkFolder(path=tmp_path))


def test_words_of_other_families_are_found_in_a_left_out_one() -> None:
    table = made_up_table(160)
    found = fold_scores(table, LexicalRecipe(table, SMALL), table.folds())
    scored = cross_calibrated(table, found)
    together = pooled_scores(found, scored)
    figures = leave_out_figures("lodo", scored, together, count=40)
    assert figures["lodo.family.east.auroc"] > 0.95
    means = [figures[f"lodo.family.{family}.auroc"] for family in scored]
    assert figures["lodo.mean.auroc"] == pytest.approx(np.mean(means))
    assert figures["lodo.mean.auroc.low"] <= figures["lodo.mean.auroc"] <= figures["lodo.mean.auroc.high"]
    assert figures["lodo.hate.auroc"] > 0.9
    bins = [name for name in figures if name.startswith("lodo.overall.reliability.") and name.endswith(".rows")]
    assert sum(figures[name] for name in bins) == figures["lodo.overall.rows"]


def test_a_fold_is_calibrated_without_its_own_labels() -> None:
    table = made_up_table(160)
    found = fold_scores(table, LexicalRecipe(table, SMALL), table.folds())
    plain = cross_calibrated(table, found)["east"].of("harm")
    rows = [replace(row, harmful=not row.harmful) if row.family == "east" else row for row in table.rows]
    turned = RequestTable(rows=rows, splits=table.splits)
    np.testing.assert_allclose(cross_calibrated(turned, found)["east"].of("harm"), plain)
    assert (
        np.abs(
            cross_calibrated(turned, found)["north"].of("harm") - cross_calibrated(table, found)["north"].of("harm")
        ).max()
        > 0.01
    )
    with pytest.raises(FitError, match="1 fold"):
        cross_calibrated(table, found[:1])


def test_what_only_measures_calibrates_nothing() -> None:
    table = made_up_table()
    found = fold_scores(table, LexicalRecipe(table, SMALL), table.folds())
    numbers, logits = pooled(found)
    wanted = fit_scalings(table, numbers, logits)
    west = np.array([not row.trains for row in table.at(numbers)])
    assert west.any()
    logits[west] *= -50
    assert fit_scalings(table, numbers, logits) == wanted
    with pytest.raises(FitError, match="west set may not train"):
        source_cards([row for row in table.rows if row.family == "west"], CATEGORIES)


def test_a_part_that_knows_nothing_does_not_count() -> None:
    table = made_up_table(160)
    found = fold_scores(table, LexicalRecipe(table, SMALL), table.folds())
    random = np.random.default_rng(0)
    noise = [FoldScores(fold=f.fold, numbers=f.numbers, logits=random.normal(size=f.logits.shape)) for f in found]
    scored = cross_stacked(table, [found, noise])
    alone = cross_calibrated(table, found)
    assert mean_auroc(scored, count=5)["auroc"] == pytest.approx(mean_auroc(alone, count=5)["auroc"], abs=0.02)
    numbers, logits = pooled(found)
    stacking = fit_stacking(table, numbers, [logits, pooled(noise)[1]])
    assert (stacking.weights >= 0).all()
    assert stacking.weights[0, 0] > 5 * stacking.weights[1, 0]
    probabilities = stacked([logits, pooled(noise)[1]], stacking)["harm"]
    labels = np.array([row.harmful for row in table.at(numbers)])
    assert auroc(probabilities, labels) > 0.95


def test_means_need_both_labels_in_every_family() -> None:
    rows = [row for row in made_up_table().rows if row.family == "east" and row.harmful]
    with pytest.raises(FitError, match="'east' has 48 harmful of 48"):
        mean_auroc({"east": ScoredRows(rows=rows, scores={OVERALL + "x": np.zeros(48)})})
