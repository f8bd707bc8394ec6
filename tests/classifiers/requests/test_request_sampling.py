"""A sample has its size, is that of its seed, and prefers harmful rows, then hard ones."""

import pytest

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow
from classifiers.requests.sampling import sample_requests

ONE = RequestSet(name="one", licence="MIT", family="one")
ROWS = [
    *(ONE.harmful(f"clown {n}") for n in range(40)),
    *(ONE.harmless(f"kill time {n}") for n in range(40)),
    *(ONE.harmless(f"sleep {n}") for n in range(40)),
]


def kinds(rows: list[RequestRow]) -> tuple[int, int, int]:
    harmful, hard = sum(row.harmful for row in rows), sum(row.hard for row in rows)
    return harmful, hard, len(rows) - harmful - hard


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [(40, (20, 10, 10)), (110, (40, 35, 35)), (500, (40, 40, 40)), (1, (1, 0, 0)), (0, (0, 0, 0))],
)
def test_half_is_harmful_and_half_of_the_rest_hard(limit: int, wanted: tuple[int, int, int]) -> None:
    assert kinds(sample_requests(ROWS, limit, 0)) == wanted


def test_what_is_missing_of_one_kind_the_others_fill() -> None:
    assert kinds(sample_requests(ROWS[40:], 30, 0)) == (0, 15, 15)
    assert kinds(sample_requests(ROWS[:40] + ROWS[80:90], 40, 0)) == (30, 0, 10)


def test_a_sample_is_that_of_its_seed_whatever_the_order() -> None:
    first = sample_requests(ROWS, 20, 0)
    assert first == sample_requests(ROWS[::-1], 20, 0)
    assert {row.text for row in first} != {row.text for row in sample_requests(ROWS, 20, 1)}
