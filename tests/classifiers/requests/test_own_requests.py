"""Our own requests: enough of them, valid, written out one by one."""

from collections import Counter

import pytest

from classifiers.errors import SourceFormatError
from classifiers.fitting.prompts import normalised
from classifiers.requests import own
from classifiers.requests.dedupe import deduplicate_requests
from classifiers.requests.minimal_pairs import seen_rows, unseen_rows
from classifiers.requests.record import REQUEST_CATEGORIES


def test_there_are_enough_and_all_are_marked_as_ours() -> None:
    rows = own.own_rows()
    benign, harmful = [r for r in rows if not r.harmful], [r for r in rows if r.harmful]
    assert len(benign) >= 300
    assert len(harmful) >= 150
    assert all(row.hard for row in benign)
    assert {(row.source, row.licence, row.trains) for row in rows} == {("own", "Apache-2.0", True)}
    assert {category for row in harmful for category, applies in row.labels.items() if applies} == set(
        REQUEST_CATEGORIES
    )


def test_none_repeats_another_and_none_a_minimal_pair() -> None:
    rows = own.own_rows()
    assert len({normalised(row.text) for row in rows}) == len(rows)
    found = deduplicate_requests([*rows, *seen_rows(), *unseen_rows()], ["minimal_pairs", "minimal_pairs_unseen"])
    assert sum(found.dropped.values()) == 0


def test_they_are_not_of_one_template() -> None:
    openings = Counter(tuple(normalised(row.text).split()[:4]) for row in own.own_rows())
    assert openings.most_common(1)[0][1] <= len(own.own_rows()) // 40


def test_every_style_of_harm_has_harmless_rows() -> None:
    kinds = own.kinds()
    by_harm = {harmful: {kinds[r.text] for r in own.own_rows() if r.harmful is harmful} for harmful in (True, False)}
    assert by_harm[True] == {"question", "imperative", "story", "roleplay"}
    assert by_harm[False] >= {"imperative", "story", "roleplay", "fiction", "medical", "legal", "counter-speech"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"text": "a"}], r"line 1 has keys \['text'\]; wanted a text and a kind"),
        ([{"text": "a", "kind": "b", "category": "clowns"}], "category 'clowns'; wanted one of"),
    ],
)
def test_a_bad_line_is_refused(lines: list[dict[str, str]], message: str) -> None:
    with pytest.raises(SourceFormatError, match=message):
        own.rows_of([], lines)
