"""The real packages behind the peers' adapters, the choice of prompts, and figures by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_members import write_sequence

from benchmarks.classifier_peers.measuring import peer_scores, ranking_figures, speed_figures
from benchmarks.classifier_peers.peers import PACKAGED, build_peer, build_peers
from benchmarks.classifier_peers.peers.vader import scaled
from benchmarks.classifier_peers.prompts import OVERALL, choose
from benchmarks.classifier_peers_tables import family_rows, summary_rows
from benchmarks.errors import BenchmarkError
from classifiers.assessment.scored import ScoredRows
from classifiers.base import Conversation, HarmClassifier
from classifiers.errors import ClassifierError
from classifiers.requests.record import RequestRow


def user(text: str) -> Conversation:
    return [{"role": "user", "content": text}]


def row(text: str, *, harmful: bool, hard: bool = False, family: str = "a") -> RequestRow:
    return RequestRow(
        text=text,
        harmful=harmful,
        labels={},
        source=family,
        family=family,
        group=text,
        licence="Apache-2.0",
        trains=True,
        hard=hard,
    )


@pytest.mark.parametrize("name", PACKAGED)
def test_peers_keep_the_contract_of_classifiers(name: str) -> None:
    peer = build_peer(name)
    assert isinstance(peer, HarmClassifier)
    assert peer.name[-1].isdigit()
    turns = [user("You damn idiot, I hate this."), user("What a lovely day."), user("")]
    found = peer.score(turns)
    assert [set(scores) for scores in found] == [{"harm"}] * 3
    assert found == [peer.score([each])[0] for each in turns]
    assert found[0]["harm"] >= 0.5 > found[1]["harm"] >= 0
    with pytest.raises(ClassifierError, match="without a user turn"):
        peer.score([[{"role": "assistant", "content": "Hello."}]])


@pytest.mark.parametrize("name", PACKAGED)
def test_peers_judge_the_last_user_turn(name: str) -> None:
    peer = build_peer(name)
    mild, rude = "What a lovely day.", "You damn idiot, I hate this."
    assert peer.score([[*user(rude), *user(mild)]]) == peer.score([user(mild)])


def test_better_profanity_says_yes_or_no() -> None:
    peer = build_peer("better_profanity")
    texts = ("Write a damn poem", "Write a d4mn poem", "How do I shoot a portrait", "Write a poem")
    assert [peer.score([user(text)])[0]["harm"] for text in texts] == [1, 1, 0, 0]


def test_vader_is_scaled_about_its_own_decision() -> None:
    assert (scaled(-1.0), scaled(-0.05), scaled(1.0)) == (1.0, 0.5, 0.0)
    assert scaled(0.0) == pytest.approx(0.5 / 1.05)
    assert scaled(-0.525) == pytest.approx(0.75)
    steps = [scaled(compound) for compound in np.linspace(-1, 1, 81).tolist()]
    assert steps == sorted(steps, reverse=True)
    assert len(set(steps)) == 81


def test_peers_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="peer 'alt' is not known; known: better_profanity, vader"):
        build_peer("alt")
    assert list(build_peers(None)) == list(PACKAGED)
    guard = build_peers(write_sequence(tmp_path))["guard"]
    assert guard.name.startswith("sequence:")
    assert set(guard.score([user("you are a clown")])[0]) == {"toxicity", "violence"}


class Asked:
    """Scores a text by its number, and remembers what it was asked."""

    name, categories = "asked", ("harm",)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        self.texts += [found[-1]["content"] for found in conversations]
        return [{"harm": int(found[-1]["content"].split()[-1]) / 100} for found in conversations]


def scored() -> dict[str, ScoredRows]:
    """Two families that are measured against the same four hard benign rows."""
    hard = [row(f"hard {n}", harmful=False, hard=True, family="own") for n in range(4)]
    found = {}
    for family, first in (("one", 10), ("two", 50)):
        rows = [*(row(f"{family} {first + n}", harmful=True, family=family) for n in range(6)), *hard]
        found[family] = ScoredRows(rows=rows, scores={"harm": np.array([0.9] * 3 + [0.1] * 3 + [0.5] * 4)})
    return found


def test_prompts_are_so_many_of_a_kind_and_each_once() -> None:
    prompts = choose(scored(), seed=0, of_a_kind=3)
    parts = prompts.parts(scored())
    assert {name: len(part.rows) for name, part in parts.items()} == {"one": 6, "two": 6, OVERALL: 9}
    texts = [found.text for found in parts[OVERALL].rows]
    assert len(set(texts)) == 9
    assert [found.text for found in choose(scored(), seed=0, of_a_kind=3).parts(scored())[OVERALL].rows] == texts


def test_a_peer_judges_each_chosen_prompt_once() -> None:
    asked = Asked()
    prompts = choose(scored(), seed=0, of_a_kind=3)
    parts = prompts.parts(peer_scores(asked, prompts, scored()))
    assert len(asked.texts) == len(set(asked.texts)) == 9
    for part in parts.values():
        assert part.scores["harm"].tolist() == [int(found.text.split()[-1]) / 100 for found in part.rows]


def test_figures_by_hand() -> None:
    prompts = choose(scored(), seed=0)
    found = ranking_figures(prompts, scored(), count=50)
    # Half of the harmful rows outscore every benign one, half none; at 0.5 all benign rows are alarms.
    assert found["one.auroc"] == found["overall.auroc"] == found["mean.auroc"] == pytest.approx(0.5)
    assert found["overall.recall_at_1_percent"] == pytest.approx(0.5)
    assert found["one.f1"] == pytest.approx(2 * 3 / (7 + 6))
    assert found["overall.f1"] == pytest.approx(2 * 6 / (10 + 12))
    assert (found["overall.rows"], found["overall.positives"], found["overall.hard"]) == (16, 12, 4)
    assert not any("ece" in name for name in found)


def test_tables_show_contenders_and_families() -> None:
    prompts = choose(scored(), seed=0)
    figures = {}
    for name in ("lexical-requests", "better_profanity"):
        own = ranking_figures(prompts, scored(), count=50) | {"milliseconds.p50": 0.25, "milliseconds.p99": 0.5}
        figures |= {f"{name}.{figure}": value for figure, value in own.items()}
    header, *rows = summary_rows(figures)
    assert [found[0] for found in rows] == ["`lexical-requests` (ours)", "better-profanity"]
    assert rows[0][1] == "0.500"
    assert rows[0][-2:] == ["0.25 ms", "0.50 ms"]
    assert {len(found) for found in (header, *rows)} == {8}
    header, *rows = family_rows(figures)
    assert header == ["family", "harmful", "rows", "`lexical-requests` (ours)", "better-profanity"]
    assert [found[:3] for found in rows] == [["one", "6", "10"], ["two", "6", "10"]]


def test_peers_are_timed() -> None:
    found = speed_figures(build_peer("vader"), calls=5)
    assert 0 < found["milliseconds.p50"] <= found["milliseconds.p99"]
