"""What every member of `HarmClassifier` keeps, run on each of them as the factory builds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_members import (
    CATEGORIES,
    WORDS,
    RemoteGuard,
    remote_config,
    remote_guard,
    write_cascade,
    write_config,
    write_embedding,
    write_ensemble,
    write_lexical,
    write_sequence,
)

from classifiers import CLASSIFIER_MEMBERS, build_classifier
from classifiers.base import HarmClassifier
from classifiers.errors import ClassifierError, ClassifiersError
from classifiers.remote import RemoteClassifier
from classifiers.shipped import is_shipped

CLOSE = 2e-5
"""Between a text alone and in a batch: sums of single precision in another order."""
TEXTS = (
    "you are a clown",
    "what is the film about",
    "",
    "   ",
    "\x00",
    "k\u200b1ll 你好 ＣＬＯＷＮ 👨\u200d👩\u200d👧",
    "please say something rude to the lazy potato",
    "nice to meet you " * 40,
)


def user(*turns: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": turn} for turn in turns]


@pytest.fixture(scope="module")
def guard() -> Iterator[RemoteGuard]:
    with remote_guard() as running:
        yield running


WRITERS: dict[str, Callable[[Path], object]] = {
    "lexical": write_lexical,
    "lexical-requests": write_lexical,
    "embedding": write_embedding,
    "ensemble": write_ensemble,
    "cascade": write_cascade,
    "sequence": write_sequence,
}


def write_member(name: str, path: Path, guard: RemoteGuard) -> Path:
    if name == "remote":
        write_config(path, "remote", remote_config(guard.url, cache={"entries": 0}))
    else:
        WRITERS[name](path)
    return path


@pytest.fixture(scope="module", params=CLASSIFIER_MEMBERS)
def member(request: pytest.FixtureRequest, guard: RemoteGuard, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    path = write_member(request.param, tmp_path_factory.mktemp(request.param), guard)
    built = build_classifier(request.param, path=path)
    yield built
    if hasattr(built, "close"):
        built.close()


def array(scores: list[dict[str, float]]) -> np.ndarray:
    return np.array([[found[category] for category in CATEGORIES] for found in scores])


def test_it_is_a_classifier_with_its_categories(member: HarmClassifier) -> None:
    assert isinstance(member, HarmClassifier)
    assert member.categories == CATEGORIES


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_has_a_probability_of_each_category(member: HarmClassifier, text: str) -> None:
    [scores] = member.score([user(text)])
    assert tuple(scores) == CATEGORIES
    assert all(isinstance(p, float) and 0 <= p <= 1 for p in scores.values())


def test_scores_tell_texts_apart(member: HarmClassifier) -> None:
    assert len({round(p, 6) for p in array(member.score([user(t) for t in TEXTS]))[:, 0]}) > 2


def test_a_text_scores_alone_as_in_any_batch_and_order(member: HarmClassifier) -> None:
    alone = np.concatenate([array(member.score([user(text)])) for text in TEXTS])
    order = np.random.default_rng(0).permutation(len(TEXTS))
    together = array(member.score([user(TEXTS[n]) for n in order]))
    np.testing.assert_allclose(together, alone[order], atol=CLOSE)
    twice = array(member.score([user(text) for text in TEXTS for _ in range(2)]))
    np.testing.assert_allclose(twice[::2], alone, atol=CLOSE)
    np.testing.assert_allclose(twice[1::2], alone, atol=CLOSE)


def test_no_conversation_no_score(member: HarmClassifier) -> None:
    assert member.score([]) == []


def test_a_very_long_text_is_read_to_its_end(member: HarmClassifier) -> None:
    found = array(member.score([user(f"{word} " * 60) for word in WORDS]))[:, 0]
    mild, harsh = WORDS[int(found.argmin())], WORDS[int(found.argmax())]
    padding = f"{mild} " * 1200
    [[without], [within]] = (array(member.score([user(padding + end)]))[:, 0] for end in ("", f"{harsh} " * 60))
    assert within > without + 1e-4


@pytest.mark.parametrize(
    "conversation",
    [
        [],
        [{"role": "assistant", "content": "hi"}],
        [{"role": "tool", "content": "hi"}],
        [{"role": "user"}],
        [{"role": "user", "content": 3}],
    ],
)
def test_what_is_no_conversation_is_refused(member: HarmClassifier, conversation: list) -> None:
    with pytest.raises(ClassifierError):
        member.score([conversation])


def test_earlier_turns_system_prompts_and_tool_results_never_lower_a_score(member: HarmClassifier) -> None:
    for text in ("you are a clown", "please"):
        [alone] = array(member.score([user(text)]))
        for other in TEXTS:
            for role in ("user", "system", "tool", "assistant"):
                [after] = array(member.score([[{"role": role, "content": other}, *user(text)]]))
                # A cascade may ask another member in one of the two cases.
                if not member.name.startswith("cascade"):
                    assert (after >= alone - CLOSE).all()
                if role == "assistant":
                    np.testing.assert_allclose(after, alone, atol=CLOSE)


def test_the_name_stands_for_the_fit(member: HarmClassifier, guard: RemoteGuard, tmp_path: Path) -> None:
    kind, _, digits = member.name.partition(":")
    assert len(digits) == 6
    again = build_classifier(kind, path=write_member(kind, tmp_path, guard))
    assert again.name == member.name
    if isinstance(again, RemoteClassifier):
        guard.asking.append(again)


@pytest.mark.parametrize("name", CLASSIFIER_MEMBERS)
def test_what_is_missing_is_refused_when_it_is_built(name: str, tmp_path: Path) -> None:
    with pytest.raises(ClassifiersError, match=str(tmp_path)):
        build_classifier(name, path=tmp_path)


UNSHIPPED = [member for member in CLASSIFIER_MEMBERS if member != "lexical" and not is_shipped(member)]


@pytest.mark.parametrize("name", UNSHIPPED)
def test_a_member_that_ships_without_files_asks_for_them(name: str) -> None:
    with pytest.raises(ClassifierError, match="as the path"):
        build_classifier(name)


@pytest.mark.parametrize("name", ["lexical", "lexical-requests", "embedding"])
def test_weights_that_are_no_numbers_are_refused(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    built = build_classifier(name, path=tmp_path)
    built.tensors.weights[:] = np.nan
    with pytest.raises(ClassifierError, match=r"wanted numbers in \[0, 1\]"):
        built.score([user("you are a clown")])


@pytest.mark.parametrize("name", ["ensemble", "cascade"])
def test_a_part_that_is_no_number_fails_the_whole(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    built = build_classifier(name, path=tmp_path)
    built.parts[0].tensors.weights[:] = np.nan
    with pytest.raises(ClassifierError, match=r"wanted numbers in \[0, 1\]"):
        built.score([user("you are a clown")])


def test_a_model_whose_weights_are_no_numbers_is_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    built = build_classifier("sequence", path=tmp_path)
    built._judge_texts._model.classifier.weight.fill_(np.nan)
    with pytest.raises(ClassifierError, match=r"wanted numbers in \[0, 1\]"):
        built.score([user("you are a clown")])


@pytest.mark.parametrize("name", [member for member in CLASSIFIER_MEMBERS if member != "lexical"])
def test_half_a_surrogate_pair_is_read_as_a_question_mark(name: str, guard: RemoteGuard, tmp_path: Path) -> None:
    """`lexical` alone cannot encode it, and raises; a request then runs at full strength."""
    if name == "cascade":
        pytest.skip("its cheap part here is `lexical`")
    built = build_classifier(name, path=write_member(name, tmp_path, guard))
    try:
        assert built.score([user("a clown \ud83d")]) == built.score([user("a clown ?")])
    finally:
        if hasattr(built, "close"):
            built.close()
