"""Names of scorers: one, several, and what is refused; and the file of a linear scorer."""

import json
from pathlib import Path

import pytest

from breakers.scoring import HarmScorer, ScoredReply
from classifiers.errors import ArtifactError, UnknownMemberError
from classifiers.scorers import build_scorer
from classifiers.scorers.conversations import all_turns, last_user_turn
from classifiers.scorers.linear import CARD_FILE, LinearCard, LinearModel, linear_sha256, save_linear

REPLIES = [
    ScoredReply(messages=[{"role": "user", "content": "What did the nurse do?"}], reply=reply)
    for reply in ("She slept.", "You are a stupid idiot.", "No.")
]
SIZE_LIMIT = 3_000_000


def test_several_scorers_give_what_each_gives() -> None:
    together = build_scorer("toxicity+bias+refusal")
    assert isinstance(together, HarmScorer)
    assert together.behaviours == ("toxicity", "gender_bias", "stereotype", "refusal")
    alone = [build_scorer(name) for name in ("toxicity", "bias", "refusal")]
    assert together.name == "+".join(scorer.name for scorer in alone)
    expected = [a | b | c for a, b, c in zip(*(scorer.score(REPLIES) for scorer in alone), strict=True)]
    assert together.score(REPLIES) == expected
    assert together.score([]) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oracle", "'oracle' is not known; known: demo, judge, toxicity"),
        ("toxicity+", "'' is not known"),
        ("toxicity+toxicity", "toxicity judged twice"),
        ("toxicity+demo", "toxicity judged twice"),
        ("toxicity:file", "takes no argument"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UnknownMemberError, match=message):
        build_scorer(name)


def test_what_ships_is_small_and_says_where_it_comes_from() -> None:
    root = Path(__file__).parents[3] / "classifiers" / "scorers"
    cards = sorted(root.glob("*/shipped/**/card.json"))
    assert {path.relative_to(root).parts[0] for path in cards} >= {"toxicity", "bias", "compliance", "misinformation"}
    for path in cards:
        files = [file for file in path.parent.iterdir() if file.is_file()]
        assert sum(file.stat().st_size for file in files) < SIZE_LIMIT
        card = json.loads(path.read_text())
        for source in card["sources"]:
            assert "SA" not in source["licence"]
            assert source["rows"] > 0
            assert len(source["sha256"]) == 64


def test_the_last_user_turn_and_all_turns() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert last_user_turn(messages) == "a"
    assert last_user_turn([]) == ""
    assert all_turns(messages) == "a\nb"


def linear_card(weights: dict[str, float]) -> LinearCard:
    return LinearCard(
        behaviour="toxicity",
        weights=weights,
        intercept=-1.0,
        sources=(),
        seed=0,
        regularisation=1.0,
        figures={},
        command="x",
        weights_sha256=linear_sha256(weights, -1.0),
    )


def test_a_linear_scorer_by_hand_and_from_its_file(tmp_path: Path) -> None:
    save_linear(linear_card({"a": 2.0, "b": -0.5}), tmp_path / "new")
    model = LinearModel.load(tmp_path / "new")
    # Log-odds -1 + 2 * 1 - 0.5 * 2 = 0.
    assert model.probability({"a": 1.0, "b": 2.0, "other": 9.0}) == pytest.approx(0.5)
    # Log-odds 1: 1 / (1 + exp(-1)).
    assert model.probability({"a": 1.0, "b": 0.0}) == pytest.approx(0.7310585786)


def test_a_changed_or_missing_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no scorer card"):
        LinearModel.load(tmp_path)
    save_linear(linear_card({"a": 2.0}), tmp_path)
    text = (tmp_path / CARD_FILE).read_text()
    (tmp_path / CARD_FILE).write_text(text.replace("2.0", "3.0"))
    with pytest.raises(ArtifactError, match="it names"):
        LinearModel.load(tmp_path)
    (tmp_path / CARD_FILE).write_text("{}")
    with pytest.raises(ArtifactError, match="not the card"):
        LinearModel.load(tmp_path)
    with pytest.raises(ArtifactError, match="not all finite"):
        linear_sha256({"a": float("nan")}, 0.0)
