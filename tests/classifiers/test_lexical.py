"""The lexical classifier: features by hand, the run time against scikit-learn, conversations, and its files."""

import dataclasses
import json
import math
import zlib

import numpy as np
import pytest

from classifiers import build_classifier
from classifiers.conversation import ConversationWeights, view_conversation, windows
from classifiers.errors import ArtifactError, ClassifierError, UnknownMemberError
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.training import TrainingSettings, feature_matrix, train_weights
from classifiers.lexical.artifact import (
    ConversationCard,
    HashingCard,
    LexicalCard,
    LexicalTensors,
    save_artifact,
    weights_sha256,
)
from classifiers.lexical.hashing import FeatureGroup, FeatureHasher, Hashing, Unit
from classifiers.lexical.model import LexicalClassifier

WORDS = FeatureGroup(unit=Unit.WORD, orders=(1, 2), weight=1.0)
CHARACTERS = FeatureGroup(unit=Unit.CHARACTER, orders=(3,), weight=0.5)
HASHING = Hashing(bits=12, groups=(WORDS, CHARACTERS))
CONTEXT_LIMIT = 4.0
ONE_WORD = FeatureGroup(unit=Unit.WORD, orders=(1,), weight=1.0)
RUDE = ("you are a lazy potato", "what a clown you are", "you clown", "lazy lazy potato", "you silly goose")
PLAIN = ("what is two plus two", "name three fruits", "where is Paris", "is the film good", "thank you so much")


def classifier(weights: np.ndarray, **overrides: object) -> LexicalClassifier:
    """A classifier with one category and plain calibration."""
    tensors = LexicalTensors(
        weights=weights.astype(np.float32),
        intercept=np.zeros(1, np.float32),
        calibration_slope=np.ones(1, np.float32),
        calibration_intercept=np.zeros(1, np.float32),
    )
    return LexicalClassifier(card(tensors, **overrides), tensors)


def card(tensors: LexicalTensors, **overrides: object) -> LexicalCard:
    fields = {
        "categories": ("toxicity",),
        "hashing": HashingCard.model_validate(dataclasses.asdict(HASHING)),
        "conversation": ConversationCard(turn_decay=0.5, system_weight=0.25, context_limit=CONTEXT_LIMIT),
        "sources": (),
        "seed": 0,
        "regularisation": 1.0,
        "calibration": {},
        "figures": {},
        "command": "test",
        "weights_sha256": weights_sha256(tensors.serialise()),
    }
    return LexicalCard(**(fields | overrides))


def user(*turns: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": t} for t in turns]


def test_features_are_the_distinct_ngrams_scaled_by_group() -> None:
    features = FeatureHasher(HASHING).features("Aa  b\naa")
    # Words aa, b: 2 distinct unigrams; with borders 4 bigrams. Characters of " aa b aa ": 7 trigrams, one twice.
    words, characters = features.values[:6], features.values[6:]
    np.testing.assert_allclose(words, 1 / math.sqrt(6), rtol=1e-6)
    assert len(characters) == 5
    np.testing.assert_allclose(characters, 0.5 / math.sqrt(5), rtol=1e-6)


def test_the_same_word_gets_the_same_bucket_wherever_it_stands() -> None:
    hasher = FeatureHasher(Hashing(bits=20, groups=(ONE_WORD,)))
    alone = hasher.features("potato").buckets
    later = hasher.features("well, you potato!").buckets
    assert set(alone) < set(later)
    assert not set(alone) & set(hasher.features("potatoes otatop tomato").buckets)


def test_words_at_different_buckets_are_spread_evenly() -> None:
    hasher = FeatureHasher(Hashing(bits=8, groups=(ONE_WORD,)))
    words = [
        f"{zlib.crc32(str(i).encode()):x}".translate(str.maketrans("0123456789", "ghijklmnop")) for i in range(5120)
    ]
    counts = np.bincount([int(hasher.features(w).buckets[0]) for w in words], minlength=256)
    # 20 a bucket expected; chi-squared with 255 degrees of freedom is below 350 but once in 20,000.
    assert ((counts - 20.0) ** 2 / 20.0).sum() < 350


@pytest.mark.parametrize("text", ["", "   ", "!", "?!?", "a", "\x00", "é", "你好 ＣＬＯＷＮ", "it's 12+7"])
def test_any_text_has_a_score(text: str) -> None:
    scorer = classifier(np.random.default_rng(0).normal(size=(4096, 1)))
    [score] = scorer.score([user(text)])
    assert 0 <= score["toxicity"] <= 1


def test_case_spacing_digits_and_full_width_letters_do_not_matter() -> None:
    hasher = FeatureHasher(HASHING)
    plain = hasher.features("what is 12 clown").buckets
    np.testing.assert_array_equal(plain, hasher.features("WHAT\tis  98   clown ").buckets)
    np.testing.assert_array_equal(plain, hasher.features("what is 12 ｃｌｏｗｎ").buckets)


def test_run_time_equals_scikit_learns_decision_function() -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression

    texts = [*RUDE, *PLAIN]
    prompts = [LabelledPrompt(text=t, labels={"toxicity": t in RUDE}, source="made_up") for t in texts]
    settings = TrainingSettings(hashing=HASHING, regularisation=5.0, seed=3, source_weights={})
    fitted = train_weights(prompts, ("toxicity",), settings)
    tensors = LexicalTensors(
        weights=fitted.weights,
        intercept=fitted.intercept,
        calibration_slope=np.ones(1, np.float32),
        calibration_intercept=np.zeros(1, np.float32),
    )
    ours = LexicalClassifier(card(tensors), tensors)
    theirs = LogisticRegression(C=5.0, solver="liblinear", random_state=3, tol=1e-2, max_iter=200)
    theirs.fit(feature_matrix(texts, HASHING), [t in RUDE for t in texts])
    unseen = [*texts, "you lazy clown", "name two fruits please"]
    expected = theirs.decision_function(feature_matrix(unseen, HASHING))
    np.testing.assert_allclose([ours.logits(t)[0] for t in unseen], expected, rtol=1e-4, atol=1e-5)
    assert ours.score([user("you lazy clown")])[0]["toxicity"] > ours.score([user("name two fruits")])[0]["toxicity"]


def test_turns_count_less_the_older_they_are() -> None:
    view = view_conversation(
        [{"role": "system", "content": "s"}, *user("a", "b"), {"role": "assistant", "content": "x"}, *user("c")],
        ConversationWeights(turn_decay=0.5, system_weight=0.2),
    )
    assert view.last == "c"
    assert [(v.text, v.weight) for v in view.context] == [("b", 0.5), ("a", 0.25), ("s", 0.2)]


def test_earlier_provocations_add_their_weighted_log_odds_and_benign_turns_nothing() -> None:
    hasher = FeatureHasher(HASHING)
    weights = np.full((4096, 1), -1.0)
    weights[hasher.features("you clown").buckets] = 2.0
    scorer = classifier(weights)

    def odds(conversation: list[dict[str, str]]) -> float:
        p = scorer.score([conversation])[0]["toxicity"]
        return math.log(p / (1 - p))

    rude, plain = odds(user("you clown")), odds(user("ok"))
    assert rude > 2 > -1 > plain
    assert odds(user("you clown", "ok")) == pytest.approx(plain + 0.5 * rude)
    assert odds(user("you clown", "fine", "ok")) == pytest.approx(plain + 0.25 * rude)
    assert odds(user("you clown", "you clown", "ok")) == pytest.approx(plain + 0.5 * rude)
    assert odds([{"role": "system", "content": "you clown"}, *user("ok")]) == pytest.approx(plain + 0.25 * rude)
    assert odds(user("ok", "you clown")) == pytest.approx(rude)
    assert odds(user("you clown", "you clown")) == pytest.approx(rude + 0.5 * rude)
    assert odds([{"role": "assistant", "content": "you clown"}, *user("ok")]) == plain


def test_context_adds_no_more_than_its_limit() -> None:
    weights = np.full((4096, 1), 20.0)
    weights[FeatureHasher(HASHING).features("ok").buckets] = -1.0
    scorer = classifier(weights)
    alone, after = (scorer.score([user(*turns)])[0]["toxicity"] for turns in (("ok",), ("you clown", "ok")))
    assert math.log(after / (1 - after)) == pytest.approx(math.log(alone / (1 - alone)) + CONTEXT_LIMIT, abs=1e-6)


def test_a_provocation_in_a_long_text_is_not_diluted() -> None:
    hasher = FeatureHasher(HASHING)
    weights = np.full((4096, 1), -1.0)
    weights[hasher.features("you clown").buckets] = 4.0
    scorer = classifier(weights)
    padding = "so it goes and " * 400
    alone = scorer.score([user(("so it goes and " * 60) + "you clown")])[0]["toxicity"]
    buried = scorer.score([user(padding + ("so it goes and " * 60) + "you clown")])[0]["toxicity"]
    assert buried == pytest.approx(alone, rel=0.5)


@pytest.mark.parametrize("length", [0, 1, 1999, 2000, 2001, 3800, 3801, 9000])
def test_windows_cover_every_character(length: int) -> None:
    text = "".join(chr(97 + i % 26) for i in range(length))
    rebuilt = ""
    for n, window in enumerate(windows(text)):
        assert len(window) <= 2000
        rebuilt += window if n == 0 else window[200:]
    assert rebuilt == text


@pytest.mark.parametrize(
    "conversation",
    [[], [{"role": "assistant", "content": "hi"}], [{"role": "user"}], [{"role": "user", "content": 3}]],
)
def test_what_cannot_be_classified_is_refused(conversation: list[dict[str, object]]) -> None:
    with pytest.raises(ClassifierError):
        classifier(np.zeros((4096, 1))).score([conversation])


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ClassifierError, match=r"wanted numbers in \[0, 1\]"):
        classifier(np.full((4096, 1), np.nan)).score([user("hello")])


def test_files_round_trip_and_are_verified(tmp_path) -> None:
    made = classifier(np.random.default_rng(0).normal(size=(4096, 1)))
    data = made.tensors.serialise()
    save_artifact(made.card, data, tmp_path)
    loaded = build_classifier("lexical", path=tmp_path)
    assert loaded.name == made.name
    assert loaded.categories == ("toxicity",)
    assert loaded.score([user("hello")])[0]["toxicity"] == pytest.approx(
        made.score([user("hello")])[0]["toxicity"], abs=1e-3
    )
    (tmp_path / "weights.safetensors").write_bytes(data[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match="sha256"):
        build_classifier("lexical", path=tmp_path)


def test_unknown_keys_missing_files_and_wrong_shapes_are_refused(tmp_path) -> None:
    made = classifier(np.zeros((4096, 1)))
    with pytest.raises(ArtifactError, match="no classifier card"):
        build_classifier("lexical", path=tmp_path)
    save_artifact(made.card, made.tensors.serialise(), tmp_path)
    written = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(written | {"surprise": 1}))
    with pytest.raises(ArtifactError, match="surprise"):
        build_classifier("lexical", path=tmp_path)
    (tmp_path / "card.json").write_text(json.dumps(written | {"categories": ["toxicity", "hate"]}))
    with pytest.raises(ArtifactError, match="weights"):
        build_classifier("lexical", path=tmp_path)


def test_an_unknown_member_lists_the_known_ones() -> None:
    with pytest.raises(UnknownMemberError, match="lexical"):
        build_classifier("crystal_ball")
