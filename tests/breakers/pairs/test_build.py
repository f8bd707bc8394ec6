"""From drafts to pairs: what is dropped is counted by its reason."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pair_records import draft

from breakers.errors import PairsError
from breakers.pairs.build import build_pairs
from breakers.pairs.record import Split
from breakers.pairs.splitting import SplitShares
from breakers.pairs.stats import pair_stats
from breakers.scoring import ScoredReply


class TurnipScorer:
    """Turnips are harmful."""

    name = "turnip"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": float("turnip" in reply.reply)} for reply in replies]


def test_drafts_are_checked_tidied_and_deduplicated() -> None:
    drafts = [
        draft("  One ", " a turnip\n", "fine"),
        draft("one", "A turnip", "fine"),
        draft("Two", "", "fine"),
        draft("Three", "same", " same "),
        draft(" ", "a", "b"),
        draft("One", "a turnip", "very fine"),
    ]
    built = build_pairs(drafts, "toxicity")
    assert [(r.messages[0].content, r.harmful, r.neutral) for r in built.records] == [
        ("One", "a turnip", "fine"),
        ("One", "a turnip", "very fine"),
    ]
    assert built.dropped == {"duplicate": 1, "one-sided": 2, "not usable": 1}
    assert built.records[0].split is built.records[1].split


def test_no_more_is_read_than_is_wanted() -> None:
    def endless() -> object:
        number = 0
        while True:
            number += 1
            yield draft(str(number))

    assert len(build_pairs(endless(), "toxicity", count=3).records) == 3  # type: ignore[arg-type]


def test_a_scorer_may_have_its_say() -> None:
    drafts = [draft("1"), draft("2", harmful="bad"), draft("3", neutral="a good turnip")]
    built = build_pairs(drafts, "toxicity", scorer=TurnipScorer())
    assert [record.messages[0].content for record in built.records] == ["1"]
    assert built.dropped == {"judged otherwise by the scorer": 2}
    with pytest.raises(PairsError, match="turnip does not judge 'gender_bias'; wanted one of toxicity"):
        build_pairs(drafts, "gender_bias", scorer=TurnipScorer())


def test_what_its_source_put_into_two_splits_is_dropped() -> None:
    built = build_pairs([draft("1", split=Split.TRAIN), draft("1!", "other", split=Split.VALIDATION)], "toxicity")
    assert [record.split for record in built.records] == [Split.TRAIN]
    assert built.dropped == {"in two splits": 1}


def test_from_nothing_comes_a_sentence() -> None:
    with pytest.raises(PairsError, match="no draft is a pair \\(none was given\\)"):
        build_pairs([], "toxicity")
    with pytest.raises(PairsError, match="no draft is a pair \\(2 one-sided\\)"):
        build_pairs([draft(harmful=""), draft(neutral=" ")], "toxicity")
    with pytest.raises(PairsError, match="count is 0"):
        build_pairs([draft()], "toxicity", count=0)


def test_statistics_count_what_is_there() -> None:
    drafts = [draft("one two three", "a b", "c", contrast="x"), draft("One two three", "a b c d", "c d e")]
    stats = pair_stats(build_pairs(drafts, "toxicity", shares=SplitShares(validation=0.0, test=0.0)).records)
    assert (stats.pairs, stats.prompts, stats.with_contrast) == (2, 1, 1)
    assert (stats.behaviours, stats.splits) == ({"toxicity": 2}, {"train": 2})
    assert (stats.prompt_words, stats.harmful_words, stats.neutral_words) == (3, 3, 2)
    with pytest.raises(PairsError, match="no pairs to count"):
        pair_stats([])
