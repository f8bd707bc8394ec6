"""A joined group is never divided, and one with a measured row is held out whole."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from classifiers.fitting.prompts import Split, SplitShares
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow
from classifiers.requests.splits import split_requests, training_rows

ONE = RequestSet(name="one", licence="MIT", family="one")
MEASURED = RequestSet(name="two", licence="CC BY-SA 4.0", family="two", trains=False)
SHARES = SplitShares(calibration=0.2, heldout=0.3)

_DRAWN = st.lists(st.tuples(st.sampled_from([ONE, ONE, ONE, MEASURED]), st.integers(0, 30)), max_size=60)


def rows_of(drawn: list[tuple[RequestSet, int]]) -> list[RequestRow]:
    return [known.harmless(f"text {n}", group=f"group {group}") for n, (known, group) in enumerate(drawn)]


@given(_DRAWN)
def test_every_row_is_in_one_split_with_its_group(drawn: list[tuple[RequestSet, int]]) -> None:
    rows = rows_of(drawn)
    by_split = split_requests(rows, SHARES)
    assert sorted(id(row) for found in by_split.values() for row in found) == sorted(map(id, rows))
    groups = [{row.group for row in found} for found in by_split.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))


@given(_DRAWN)
def test_what_measures_is_held_out_with_its_group(drawn: list[tuple[RequestSet, int]]) -> None:
    rows = rows_of(drawn)
    by_split = split_requests(rows, SHARES)
    for split in (Split.TRAIN, Split.CALIBRATION):
        assert training_rows(by_split[split]) == by_split[split]
        assert not {row.group for row in by_split[split]} & {row.group for row in rows if not row.trains}


def test_the_shares_are_met_and_do_not_depend_on_other_rows() -> None:
    rows = [replace(ONE.harmless(f"text {n}"), group=f"group {n}") for n in range(4000)]
    by_split = split_requests(rows, SHARES)
    assert abs(len(by_split[Split.HELDOUT]) / 4000 - 0.3) < 0.03
    assert abs(len(by_split[Split.CALIBRATION]) / 4000 - 0.2) < 0.03
    fewer = split_requests(rows[:1000], SHARES)
    assert fewer[Split.HELDOUT] == [row for row in by_split[Split.HELDOUT] if row in rows[:1000]]
