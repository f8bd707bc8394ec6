"""Ensemble and cascade: the arithmetic by hand, who is asked, and parts that do not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tiny_members import write_cascade, write_ensemble

from classifiers import build_classifier
from classifiers.base import Conversation, HarmClassifier
from classifiers.calibration import TemperatureCard
from classifiers.cascade import BandCard, CascadeCard, CascadeClassifier, DearCard
from classifiers.ensemble import EnsembleCard, EnsembleClassifier, EnsemblePartCard
from classifiers.errors import ArtifactError, ClassifierError
from classifiers.parts import PartCard


@dataclass
class Fixed:
    """Scores by the last turn's text."""

    name: str
    scores: Mapping[str, Mapping[str, float]]
    asked: list[list[str]] = field(default_factory=list)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(next(iter(self.scores.values())))

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        texts = [conversation[-1]["content"] for conversation in conversations]
        self.asked.append(texts)
        return [dict(self.scores[text]) for text in texts]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def ensemble(first: HarmClassifier, second: HarmClassifier) -> EnsembleClassifier:
    card = EnsembleCard(
        categories=("toxicity", "hate"),
        parts=(
            EnsemblePartCard(member="lexical", weights={"toxicity": 1.0, "hate": 2.0}),
            EnsemblePartCard(member="embedding", weights={"toxicity": 3.0}),
        ),
        calibration={"toxicity": TemperatureCard(temperature=0.5, shift=0.25), "hate": TemperatureCard()},
    )
    return EnsembleClassifier(card, (first, second))


def test_an_ensemble_is_the_calibrated_weighted_mean_of_log_odds() -> None:
    first = Fixed("a:1", {"x": {"toxicity": sigmoid(1.0), "hate": sigmoid(-2.0)}})
    second = Fixed("b:1", {"x": {"toxicity": sigmoid(-0.6)}})
    [found] = ensemble(first, second).score([user("x")])
    # (1 * 1.0 + 3 * -0.6) / 4 = -0.2; / 0.5 + 0.25 = -0.15.
    assert found == pytest.approx({"toxicity": sigmoid(-0.15), "hate": sigmoid(-2.0)})


def test_no_part_is_surer_than_a_millionth() -> None:
    first = Fixed("a:1", {"x": {"toxicity": 1.0, "hate": 0.0}})
    second = Fixed("b:1", {"x": {"toxicity": sigmoid(-1.0)}})
    [found] = ensemble(first, second).score([user("x")])
    assert found["toxicity"] == pytest.approx(sigmoid((13.8 - 3.0) / 4 / 0.5 + 0.25))
    assert found["hate"] == pytest.approx(sigmoid(-13.8))


@pytest.mark.parametrize("bad", [math.nan, 1.1, -0.1])
def test_a_part_that_scores_nonsense_fails_the_whole(bad: float) -> None:
    first = Fixed("a:1", {"x": {"toxicity": bad, "hate": 0.5}})
    second = Fixed("b:1", {"x": {"toxicity": 0.5}})
    with pytest.raises(ClassifierError, match=r"wanted a number in \[0, 1\]"):
        ensemble(first, second).score([user("x")])
    card = CascadeCard(
        cheap=PartCard(member="lexical"), dear=DearCard(member="embedding"), band=BandCard(low=0, high=1)
    )
    with pytest.raises(ClassifierError, match=r"wanted a number in \[0, 1\]"):
        CascadeClassifier(card, first, first).score([user("x")])


def test_a_part_without_its_category_is_refused() -> None:
    both = Fixed("a:1", {"x": {"toxicity": 0.5, "hate": 0.5}})
    with pytest.raises(ArtifactError, match="b:1 has no toxicity"):
        ensemble(both, Fixed("b:1", {"x": {"hate": 0.5}}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibration": {"toxicity": {"kind": "temperature"}}}, "calibrations are of"),
        ({"categories": ["toxicity", "hate"]}, "calibrations are of"),
        (
            {"parts": [{"member": "lexical", "path": "lexical", "weights": {"toxicity": 1.0}}]},
            "parts have weights for",
        ),
        ({"parts": [{"member": "ensemble", "path": ".", "weights": {}}]}, "member"),
        ({"parts": []}, "parts"),
    ],
)
def test_a_card_that_does_not_hold_together_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write_ensemble(tmp_path)
    file = tmp_path / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match=said):
        build_classifier("ensemble", path=tmp_path)


def test_a_pinned_part_must_be_the_one_that_was_calibrated(tmp_path: Path) -> None:
    write_ensemble(tmp_path)
    name = build_classifier("lexical-requests", path=tmp_path / "lexical").name
    file = tmp_path / "card.json"
    written = json.loads(file.read_text())
    for pinned, fits in ((name, True), ("lexical:000000", False)):
        written["parts"][0]["name"] = pinned
        file.write_text(json.dumps(written))
        if fits:
            assert build_classifier("ensemble", path=tmp_path).categories == ("toxicity", "violence")
            continue
        with pytest.raises(ArtifactError, match=f"was made with lexical:000000; found {name}"):
            build_classifier("ensemble", path=tmp_path)


CHEAP = {
    "calm": {"toxicity": 0.1, "hate": 0.1},
    "sure": {"toxicity": 0.95, "hate": 0.05},
    "low edge": {"toxicity": 0.2, "hate": 0.1},
    "high edge": {"toxicity": 0.1, "hate": 0.6},
    "between": {"toxicity": 0.5, "hate": 0.1},
    "over": {"toxicity": 0.1, "hate": 0.61},
}
DEAR = {text: {"hate": 0.33, "toxicity": 0.66} for text in CHEAP}


def cascade(cheap: Fixed, dear: Fixed) -> CascadeClassifier:
    card = CascadeCard(
        cheap=PartCard(member="lexical"),
        dear=DearCard(member="embedding"),
        band=BandCard(low=0.2, high=0.8),
        bands={"hate": BandCard(low=0.4, high=0.6)},
    )
    return CascadeClassifier(card, cheap, dear)


def test_the_dear_part_is_asked_in_the_band_alone_and_once() -> None:
    cheap, dear = Fixed("a:1", CHEAP), Fixed("b:1", DEAR)
    found = cascade(cheap, dear).score([user(text) for text in CHEAP])
    assert cheap.asked == [list(CHEAP)]
    assert dear.asked == [["low edge", "high edge", "between"]]
    for text, scores in zip(CHEAP, found, strict=True):
        assert scores == (DEAR if text in dear.asked[0] else CHEAP)[text]
        assert list(scores) == ["toxicity", "hate"]


def test_where_nobody_is_unsure_the_dear_part_is_not_asked() -> None:
    dear = Fixed("b:1", DEAR)
    cascade(Fixed("a:1", CHEAP), dear).score([user("calm"), user("sure")])
    assert dear.asked == []


def test_a_dear_part_that_fails_fails_those_it_is_asked_about() -> None:
    dear = Fixed("b:1", {"calm": DEAR["calm"]})
    built = cascade(Fixed("a:1", CHEAP), dear)
    with pytest.raises(KeyError):
        built.score([user("between")])
    assert built.score([user("calm")]) == [CHEAP["calm"]]


def test_parts_of_a_cascade_have_the_same_categories() -> None:
    with pytest.raises(ArtifactError, match="wanted the same categories"):
        cascade(Fixed("a:1", CHEAP), Fixed("b:1", {"x": {"toxicity": 0.5}}))
    card = CascadeCard(
        cheap=PartCard(member="lexical"),
        dear=DearCard(member="embedding"),
        band=BandCard(low=0.2, high=0.8),
        bands={"other": BandCard(low=0, high=1)},
    )
    with pytest.raises(ArtifactError, match="bands of other"):
        CascadeClassifier(card, Fixed("a:1", CHEAP), Fixed("b:1", DEAR))
    with pytest.raises(ValueError, match="begins at"):
        BandCard(low=0.8, high=0.2)


def test_an_empty_band_costs_the_cheap_part_alone_and_a_full_one_is_the_dear_part(tmp_path: Path) -> None:
    write_cascade(tmp_path / "all", low=0.0, high=1.0)
    full = build_classifier("cascade", path=tmp_path / "all")
    dear = build_classifier("ensemble", path=tmp_path / "all" / "ensemble")
    assert full.score([user("you are a clown")]) == dear.score([user("you are a clown")])
    write_cascade(tmp_path / "none", low=1.0, high=1.0)
    cheap = build_classifier("lexical", path=tmp_path / "none" / "lexical")
    none = build_classifier("cascade", path=tmp_path / "none")
    assert none.score([user("you are a clown")]) == cheap.score([user("you are a clown")])
    assert none.name != full.name
