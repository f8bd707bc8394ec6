"""Fits of scorers: weights of rows by hand, what may not train, and a fit that finds what was put in."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from classifiers.errors import FitError, UnknownMemberError
from classifiers.fitting.prompts import LabelledPrompt, Split
from classifiers.fitting.replies.record import ReplyRow
from classifiers.fitting.scorers import misinformation
from classifiers.fitting.scorers.few_features import FeatureRow, FewFeaturesConfig, fit_few_features, with_figures
from classifiers.fitting.scorers.ngrams import NgramConfig, fit_ngrams, row_weights, save_ngrams
from classifiers.fitting.scorers.stage import ScorerFitConfig, fit_scorer
from classifiers.lexical import LexicalClassifier
from classifiers.lexical.hashing import Hashing
from classifiers.scorers.linear import CARD_FILE, LinearModel
from classifiers.scorers.misinformation import shipped_path
from classifiers.scorers.misinformation.references import Reference


def row(text: str, harmful: bool, source: str = "surge_toxicity") -> ReplyRow:
    return ReplyRow(reply=text, labels={"toxicity": harmful}, source=source)


def test_both_labels_of_a_set_weigh_the_same() -> None:
    rows = [
        LabelledPrompt(text=str(i), labels={"t": shown}, source=source)
        for i, (source, shown) in enumerate([("a", True), ("a", False), ("a", False), ("a", False), ("b", False)])
    ]
    # Of set a: one of four is harmful, 4 / (2 * 1) and 4 / (2 * 3); set b has one label.
    assert row_weights(rows, "t").tolist() == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3, 1.0])
    rare = [LabelledPrompt(text=str(i), labels={"t": i == 0}, source="a") for i in range(100)]
    assert row_weights(rare, "t").max() == 4.0


def made_up() -> dict[Split, list[ReplyRow]]:
    return {
        split: [row(f"{word} {split} {i}", harmful) for i in range(30) for word, harmful in CASES] for split in Split
    }


CASES = (("you mouldy biscuit", True), ("a pleasant garden", False))
CONFIG = NgramConfig(category="toxicity", command="x", seed=0, hashing=Hashing(bits=10))


def test_a_fit_finds_what_tells_the_labels_apart_and_is_read_back(tmp_path: Path) -> None:
    model = fit_ngrams(made_up(), CONFIG)
    assert model.card.figures["heldout.auroc"] == 1.0
    [source] = model.card.sources
    assert (source.licence, source.rows, source.positives) == ("MIT", 60, {"toxicity": 30})
    save_ngrams(model, tmp_path)
    read = LexicalClassifier.load(tmp_path)
    conversation = [{"role": "user", "content": "you mouldy biscuit again"}]
    assert read.score([conversation]) == model.score([conversation])
    assert read.score([conversation])[0]["toxicity"] > 0.5


def test_share_alike_rows_train_nothing() -> None:
    rows = made_up()
    rows[Split.TRAIN].append(row("a forum's sentence", True, "vicomtech_hate"))
    with pytest.raises(FitError, match="vicomtech_hate may not train"):
        fit_ngrams(rows, CONFIG)
    with pytest.raises(FitError, match="wanted both"):
        fit_ngrams({split: [r for r in made_up()[split] if r.labels["toxicity"]] for split in Split}, CONFIG)


def test_a_few_features_are_weighed_in_their_own_units() -> None:
    rows = [
        FeatureRow(row=row(str(i), i % 2 == 0), features={"big": 1000.0 * (i % 2 == 0) + i, "flat": 1.0})
        for i in range(40)
    ]
    model = fit_few_features(rows, FewFeaturesConfig(behaviour="toxicity", command="x", seed=0))
    assert model.card.weights["big"] > 0
    assert abs(model.card.weights["flat"]) < 1e-6
    assert model.probability({"big": 1010.0, "flat": 1.0}) > 0.9 > 0.1 > model.probability({"big": 10.0, "flat": 1.0})
    assert with_figures(model, rows).card.figures["heldout.auroc"] == 1.0
    with pytest.raises(FitError, match="wanted both"):
        fit_few_features(rows[::2], FewFeaturesConfig(behaviour="toxicity", command="x", seed=0))


def test_an_answer_is_judged_against_the_others() -> None:
    reference = Reference(question="Q", correct=("a", "A!", "b"), incorrect=("c", "d"))
    rest = misinformation.rest_of(reference, "a")
    assert rest is not None
    assert (rest.correct, rest.incorrect) == (("b",), ("c", "d"))
    assert misinformation.rest_of(Reference(question="Q", correct=("a",), incorrect=("c",)), "a") is None


def test_an_unknown_scorer_is_not_fitted(tmp_path: Path) -> None:
    with pytest.raises(UnknownMemberError, match="fitted: toxicity, bias, compliance, misinformation"):
        fit_scorer(ScorerFitConfig(scorer="refusal", public_root=tmp_path, out=tmp_path))


def test_the_command_wants_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from server.cli import classifier
    from server.cli.failures import CommandError

    monkeypatch.delenv("SCALPEL_DATA", raising=False)
    found = CliRunner().invoke(classifier.build(), ["fit-scorer", "toxicity", "--out", str(tmp_path)])
    assert isinstance(found.exception, CommandError)
    assert "wanted the folder of the public data sets" in str(found.exception)


@pytest.mark.data
@pytest.mark.slow
def test_the_shipped_weights_are_made_again(tmp_path: Path) -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    fit_scorer(ScorerFitConfig(scorer="misinformation", public_root=Path(root), out=tmp_path))
    shipped, made = LinearModel.load(shipped_path()).card, json.loads((tmp_path / CARD_FILE).read_text())
    assert made["weights"] == pytest.approx(shipped.weights, abs=1e-3)
    assert made["sources"][0]["sha256"] == shipped.sources[0].sha256
