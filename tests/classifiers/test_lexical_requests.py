"""The general lexical classifier: what `lexical` says of undisguised text, and more of disguised text and tools."""

from pathlib import Path

import pytest
from tiny_members import write_lexical

from classifiers import build_classifier


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_plain_text_scores_as_the_same_files_do_in_lexical(tmp_path: Path) -> None:
    write_lexical(tmp_path)
    plain, general = build_classifier("lexical", path=tmp_path), build_classifier("lexical-requests", path=tmp_path)
    conversations = [user("this is the clown"), [{"role": "system", "content": "be the river"}, *user("a clown")]]
    for found, wanted in zip(general.score(conversations), plain.score(conversations), strict=True):
        assert found == pytest.approx(wanted, abs=1e-12)
    assert (plain.name.split(":")[1], general.name.split(":")[0]) == (general.name.split(":")[1], "lexical-requests")


def test_disguised_text_scores_as_what_it_says_at_least(tmp_path: Path) -> None:
    write_lexical(tmp_path)
    plain, general = build_classifier("lexical", path=tmp_path), build_classifier("lexical-requests", path=tmp_path)
    disguised = "th1s \u200bis t h e cl\u043ewn"
    assert general.score([user(disguised)]) == general.score([user("this is the clown")])
    assert plain.score([user(disguised)]) != plain.score([user("this is the clown")])


def test_a_tools_result_raises_the_score_and_never_lowers_it(tmp_path: Path) -> None:
    write_lexical(tmp_path)
    plain, general = build_classifier("lexical", path=tmp_path), build_classifier("lexical-requests", path=tmp_path)
    words = ["clown", "river", "cloud", "stone", "goose", "lamp"]
    raised = 0
    for word in words:
        asked = user("this is the lamp")
        [alone] = general.score([asked])
        told = [*asked, {"role": "tool", "content": word}]
        [found] = general.score([told])
        assert plain.score([told]) == plain.score([asked])
        for category, score in alone.items():
            assert found[category] >= score
            raised += found[category] > score
    assert raised > 0
