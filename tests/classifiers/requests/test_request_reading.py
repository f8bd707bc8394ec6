"""Reading everything: what measures comes first, limits hold, groups stay whole; on made-up and on real sets."""

import os
from itertools import combinations
from pathlib import Path

import pytest
from request_sets import write_file, write_set

from classifiers.errors import SourceFormatError, UnknownMemberError
from classifiers.fitting.near_duplicates import jaccard, shingles, words_of
from classifiers.fitting.prompts import Split, SplitShares, normalised
from classifiers.requests.dedupe import NEAR
from classifiers.requests.leaving_out import lodo_families
from classifiers.requests.readers import READERS
from classifiers.requests.reading import LIMITS, RequestData, RequestsConfig, read_requests


def counted(data: RequestData, source: str) -> int:
    return sum(row.source == source for row in data.rows)


def test_without_public_sets_there_are_our_own_rows() -> None:
    data = read_requests(RequestsConfig(root=None))
    assert data.licences == dict.fromkeys(("own", "minimal_pairs", "minimal_pairs_unseen"), "Apache-2.0")
    assert counted(data, "own") >= 450
    assert {row.source for row in data.by_split[Split.TRAIN]} == {"own", "minimal_pairs"}
    assert counted(data, "minimal_pairs_unseen") == sum(not row.trains for row in data.by_split[Split.HELDOUT])


def test_a_text_that_measures_does_not_train(tmp_path: Path) -> None:
    write_file(tmp_path / "nq-open/NQ-open.dev.jsonl", '{"question": "who is he he is a clown"}\n')
    write_set("dolly", tmp_path)
    data = read_requests(RequestsConfig(root=tmp_path, limits={"nq_open": 9, "dolly": 9}))
    [kept] = [row for row in data.rows if row.family in ("nq_open", "dolly")]
    assert (kept.source, kept.trains) == ("dolly", False)
    assert kept in data.by_split[Split.HELDOUT]
    assert data.dropped["repeated"] == 1


def test_what_a_limit_leaves_out_is_counted(tmp_path: Path) -> None:
    write_file(tmp_path / "advbench/malicious_instruct.txt", "\n".join(f"Question {n}?" for n in range(60)))
    data = read_requests(RequestsConfig(root=tmp_path, limits={"malicious_instruct": 10}))
    assert counted(data, "malicious_instruct") == 10
    assert data.dropped["over the limit"] == 50


def test_every_set_has_a_limit_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    assert LIMITS.keys() == READERS.keys()
    with pytest.raises(UnknownMemberError, match="clown_corpus"):
        read_requests(RequestsConfig(root=None, limits={"clown_corpus": 1}))
    with pytest.raises(SourceFormatError, match=r"advbench\.csv"):
        read_requests(RequestsConfig(root=tmp_path, limits={"advbench": 1}))


@pytest.mark.data
def test_the_real_sets_leave_no_group_and_no_text_on_two_sides() -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    small = ("dolly", "jailbreakbench", "advbench", "adversarialqa", "malicious_instruct", "tense_rewrites", "catqa")
    limits = {**dict.fromkeys(small, 120), "do_not_answer": 100, "moderation_api": 100, "seed_instructions": 100}
    data = read_requests(
        RequestsConfig(root=Path(root), limits=limits, shares=SplitShares(calibration=0.2, heldout=0.3))
    )
    groups = [{row.group for row in rows} for rows in data.by_split.values()]
    assert all(groups)
    assert sum(map(len, groups)) == len(set().union(*groups))
    keys = [normalised(row.text) for row in data.rows]
    assert len(keys) == len(set(keys))
    assert data.licences.keys() >= limits.keys() - {"adversarialqa"}
    assert {fold.family for fold in lodo_families(data.rows)} == {
        *("advbench", "red_instruct", "do_not_answer", "moderation_api", "own")
    }
    public = [
        (split, shingles(words_of(row.text)))
        for split, rows in data.by_split.items()
        for row in rows
        if row.family == "advbench"
    ]
    assert len(public) > 300
    assert not any(jaccard(x, y) >= NEAR for (a, x), (b, y) in combinations(public, 2) if a is not b)
