"""Folds: nothing of a left-out family or of its companions is fitted on, and both labels are measured."""

import pytest

from classifiers.errors import FitError
from classifiers.requests.leaving_out import COMPANIONS, FEWEST, LeftOut, lodo_families
from classifiers.requests.readers import READERS
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def rows(family: str, harmful: int, harmless: int, trains: bool = True) -> list[RequestRow]:
    known = RequestSet(name=family, licence="MIT", family=family, trains=trains)
    return [known.harmful(f"{family} bad {n}") for n in range(harmful)] + [
        known.harmless(f"{family} good {n}") for n in range(harmless)
    ]


def test_a_family_with_both_labels_is_left_out_alone() -> None:
    assert lodo_families(rows("a", FEWEST, FEWEST)) == [LeftOut(family="a", benign=("a",))]


def test_one_of_harm_alone_takes_its_companion_along() -> None:
    found = lodo_families([*rows("advbench", FEWEST, 0), *rows("dolly", 0, 50)])
    assert found == [LeftOut(family="advbench", benign=COMPANIONS["advbench"])]


def test_too_few_harmful_rows_are_no_fold_and_no_companion_is_an_error() -> None:
    assert lodo_families(rows("a", FEWEST - 1, 100)) == []
    with pytest.raises(FitError, match=r"family 'a' has 3 harmless rows; wanted 20"):
        lodo_families(rows("a", FEWEST, 3))


def test_a_fold_fits_and_measures_on_other_rows() -> None:
    fold = LeftOut(family="a", benign=("b",))
    of = {name: rows(name, 1, 1) for name in "abc"}
    assert [fold.fits(row) for row in of["a"] + of["b"]] == [False] * 4
    assert [fold.fits(row) for row in of["c"]] == [True, True]
    assert [fold.measures(row) for row in of["a"]] == [True, False]
    assert [fold.measures(row) for row in of["b"]] == [False, True]
    assert not any(fold.measures(row) for row in of["c"])
    assert not any(fold.fits(row) for row in rows("d", 1, 1, trains=False))


def test_companions_are_families_that_there_are() -> None:
    families = {known.family for known in READERS.values()} | {"own"}
    assert families >= COMPANIONS.keys() | {name for names in COMPANIONS.values() for name in names}
