"""Fitting end to end on a small draw of the demo corpus: no leaks between splits, a classifier that ranks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from breakers.scoring import ScoredReply
from classifiers import build_classifier
from classifiers.errors import FitError, SourceFormatError
from classifiers.fitting.data import DataConfig, FitData, read_data
from classifiers.fitting.demo_prompts import THINNING, minimal_pairs, read_split
from classifiers.fitting.evaluation import evaluate_classifier
from classifiers.fitting.outcomes import Replies, judge_outcomes, load_outcomes, save_outcomes
from classifiers.fitting.prompts import Split, normalised
from classifiers.fitting.stage import FitConfig, calibrate, fit_on
from classifiers.lexical.hashing import Hashing

DATA = DataConfig(public_root=None, demo_rows=1500, demo_rows_per_kind=30, seed=7)


@pytest.fixture(scope="module")
def data() -> FitData:
    return read_data(DATA)


@pytest.fixture(scope="module")
def fitted(data: FitData, tmp_path_factory: pytest.TempPathFactory):
    config = FitConfig(out=tmp_path_factory.mktemp("fit"), data=DATA, hashing=Hashing(bits=14))
    return fit_on(data, config)


def test_no_text_is_in_two_splits(data: FitData) -> None:
    texts = {split: {normalised(p.text) for p in rows} for split, rows in data.by_split.items()}
    assert all(texts.values())
    assert not texts[Split.TRAIN] & texts[Split.HELDOUT]
    assert not texts[Split.TRAIN] & texts[Split.CALIBRATION]
    assert not texts[Split.CALIBRATION] & texts[Split.HELDOUT]


def test_minimal_pairs_share_their_words_but_the_marked_ones() -> None:
    from breakers.demo.corpus import heldout

    examples = heldout("toxicity", 50, 3)
    paired = next(e for e in examples if e.contrast_prompt is not None)
    [plain, thinned, thinned_plain] = minimal_pairs([paired], seed=0)
    alone = [e for e in examples if e.contrast_prompt is None]
    assert list(minimal_pairs(alone, seed=0)) == []
    assert not any(plain.labels.values())
    assert [c for c, shown in thinned.labels.items() if shown] == ["toxicity"]
    assert not any(thinned_plain.labels.values())
    assert len(thinned_plain.text.split()) <= len(plain.text.split())
    assert 0 < THINNING < 1


def test_a_small_fit_ranks_held_out_prompts(fitted) -> None:
    for category in fitted.classifier.categories:
        assert fitted.figures[f"demo.{category}.auroc"] > 0.9
    loaded = build_classifier(path=fitted.path)
    assert loaded.name == fitted.classifier.name
    assert loaded.card.figures == dict(fitted.figures)
    assert [source.name for source in loaded.card.sources] == ["demo"]


def test_a_fit_is_reproducible(fitted, data: FitData, tmp_path: Path) -> None:
    again = fit_on(data, FitConfig(out=tmp_path, data=DATA, hashing=Hashing(bits=14)))
    assert again.classifier.name == fitted.classifier.name
    assert again.figures == fitted.figures


def test_calibration_follows_the_outcomes(fitted, data: FitData) -> None:
    prompts = data.by_split[Split.CALIBRATION]
    rows = [p for p in prompts if p.source == "demo"]

    class HalfOfThem:
        name = "half"
        behaviours = ("toxicity",)

        def score(self, replies: list[ScoredReply]) -> list[dict[str, float]]:
            return [{"toxicity": float(p.labels["toxicity"]) * (i % 2)} for i, p in enumerate(rows)]

    outcomes = judge_outcomes(rows, Replies(texts=["x"] * len(rows), made_by="test"), HalfOfThem())
    scaling = calibrate(fitted.classifier, rows, "toxicity", outcomes)
    logits = np.array([fitted.classifier.logits(p.text)[0] for p in rows])
    provoking = np.array([p.labels["toxicity"] for p in rows])
    assert scaling(logits)[provoking].mean() == pytest.approx(0.5, abs=0.12)
    assert scaling(logits)[~provoking].mean() < 0.1
    figures = evaluate_classifier(fitted.classifier, [], None)
    assert figures == {}
    with pytest.raises(FitError, match="gender_bias"):
        calibrate(fitted.classifier, rows, "gender_bias", outcomes)


def test_outcomes_round_trip_and_are_validated(data: FitData, tmp_path: Path) -> None:
    rows = data.by_split[Split.HELDOUT][:3]

    class Never:
        name = "never"
        behaviours = ("toxicity",)

        def score(self, replies: list[ScoredReply]) -> list[dict[str, float]]:
            return [{"toxicity": 0.0} for _ in replies]

    outcomes = judge_outcomes(rows, Replies(texts=["a"] * 3, made_by="test"), Never())
    save_outcomes(outcomes, tmp_path / "o.json")
    assert load_outcomes(tmp_path / "o.json") == outcomes
    with pytest.raises(FitError, match="2 replies to 3"):
        judge_outcomes(rows, Replies(texts=["a"] * 2, made_by="test"), Never())
    (tmp_path / "o.json").write_text('{"harm": 3}')
    with pytest.raises(SourceFormatError, match="holds no outcomes"):
        load_outcomes(tmp_path / "o.json")


def test_a_category_without_positives_is_refused(data: FitData, tmp_path: Path) -> None:
    config = FitConfig(out=tmp_path, data=DATA, categories=("toxicity", "hate"), hashing=Hashing(bits=14))
    with pytest.raises(FitError, match="'hate'"):
        fit_on(data, config)


def test_the_training_split_is_a_stream() -> None:
    with pytest.raises(ValueError, match="stream"):
        read_split(Split.TRAIN, 3, 0)
    assert dataclasses.replace(DATA, demo_rows=10).demo_rows == 10
