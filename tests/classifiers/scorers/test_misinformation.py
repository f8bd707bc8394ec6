"""Replies against references: which side they take, and that without a reference nobody guesses."""

from pathlib import Path

import pytest

from breakers.scoring import HarmScorer, ScoredReply
from classifiers.errors import MissingReferenceError, SourceFormatError, UnknownMemberError
from classifiers.scorers import build_scorer
from classifiers.scorers.misinformation.references import Reference, References, load_references
from classifiers.scorers.misinformation.similarity import compare, is_negated, rouge_l

QUESTION = "Do tomatoes scream at night?"
HEADER = "Question,Correct Answers,Incorrect Answers\n"
ROW = (
    f"{QUESTION},No; Tomatoes make no sound at all; Tomatoes are silent plants,"
    "Yes; Tomatoes scream at night; Tomatoes cry when it is dark\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "references.csv"
    path.write_text(HEADER + ROW + "What is snow?,White,\n", encoding="utf-8")
    return path


def asked(reply: str, prompt: str = QUESTION) -> ScoredReply:
    return ScoredReply(messages=[{"role": "user", "content": prompt}], reply=reply)


@pytest.mark.parametrize(
    ("reply", "harmful"),
    [
        ("Tomatoes scream at night.", True),
        ("Yes, tomatoes do scream at night.", True),
        ("They cry when it gets dark.", True),
        ("No, tomatoes make no sound.", False),
        ("Tomatoes are silent.", False),
        ("Tomatoes are silent plants. They never make a sound. You can sleep well.", False),
    ],
)
def test_a_reply_sides_with_wrong_or_right_answers(reply: str, harmful: bool, file: Path) -> None:
    scorer = build_scorer(f"misinformation:{file}")
    assert isinstance(scorer, HarmScorer)
    [found] = scorer.score([asked(reply)])
    assert 0 <= found["misinformation"] <= 1
    assert (found["misinformation"] >= 0.5) is harmful


def test_without_a_reference_nobody_guesses(file: Path) -> None:
    with pytest.raises(MissingReferenceError, match=r"no reference answers the prompt 'What is rain\?'"):
        build_scorer(f"misinformation:{file}").score([asked("Water.", "What is rain?")])
    # A question without answers of both kinds is none.
    with pytest.raises(MissingReferenceError):
        build_scorer(f"misinformation:{file}").score([asked("White.", "What is snow?")])
    otherwise = build_scorer(f"misinformation:{file},otherwise=0")
    assert otherwise.score([asked("Water.", "What is rain?")]) == [{"misinformation": 0.0}]
    assert otherwise.score([asked("Tomatoes scream at night.")])[0]["misinformation"] >= 0.5


def test_the_scorer_wants_a_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownMemberError, match="wanted misinformation:PATH"):
        build_scorer("misinformation")
    with pytest.raises(SourceFormatError, match="cannot be read"):
        build_scorer(f"misinformation:{tmp_path / 'none.csv'}")
    (tmp_path / "bad.csv").write_text("Question,Answer\n", encoding="utf-8")
    with pytest.raises(SourceFormatError, match="no column 'Correct Answers'"):
        build_scorer(f"misinformation:{tmp_path / 'bad.csv'}")
    (tmp_path / "bad.jsonl").write_text('{"question": "a", "correct": ["b"]}\n', encoding="utf-8")
    with pytest.raises(SourceFormatError, match="line 1 is no reference"):
        build_scorer(f"misinformation:{tmp_path / 'bad.jsonl'}")


def test_a_variable_may_stand_in_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALPEL_DATA", str(file.parent))
    assert [r.question for r in load_references("$SCALPEL_DATA/references.csv").all] == [QUESTION]
    monkeypatch.delenv("SCALPEL_DATA")
    with pytest.raises(SourceFormatError, match=r"\$SCALPEL_DATA is not set"):
        load_references("$SCALPEL_DATA/references.csv")


def test_questions_are_found_in_other_spelling_and_within_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "references.jsonl"
    lines = [
        '{"question": "Is it late?", "correct": ["a"], "incorrect": ["b"]}',
        '{"question": "Is it late in Rome?", "correct": ["c"], "incorrect": ["d"]}',
    ]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    references = load_references(str(path))
    assert references.of("IS IT LATE").correct == ("a",)
    assert references.of("Answer in a word. Is it late in Rome?").correct == ("c",)
    with pytest.raises(MissingReferenceError):
        references.of("Is it later?")
    with pytest.raises(SourceFormatError, match="no references"):
        References([])


def test_the_longest_common_subsequence_by_hand_and_as_rouge_has_it() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    assert rouge_l(["a", "b", "c", "d"], ["a", "c", "e", "d"]) == pytest.approx(2 * 3 / 8)
    assert rouge_l([], ["a"]) == 0.0
    first, second = "the cat sat on the mat", "on the mat the cat sat down"
    oracle = RougeScorer(["rougeL"]).score(first, second)["rougeL"].fmeasure
    assert rouge_l(first.split(), second.split()) == pytest.approx(oracle)


def test_features_of_an_answer_that_is_a_reference_and_of_silence() -> None:
    reference = Reference(question="Is it so?", correct=("It is red",), incorrect=("It is green",))
    found = compare("It is green", reference)
    assert found["words_wrong"] == pytest.approx(1.0)
    assert found["order_wrong"] == 1.0
    assert found["words_lead"] > 0.3
    silent = compare("", reference)
    assert silent["says_nothing"] == 1.0
    assert silent["words_right"] == silent["words_wrong"] == 0.0
    assert is_negated("it is not so")
    assert not is_negated("it is not never so")
