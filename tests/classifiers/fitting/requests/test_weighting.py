"""Weights of rows by hand."""

import numpy as np
import pytest

from classifiers.errors import FitError
from classifiers.fitting.requests.weighting import Weighting, labelled
from classifiers.requests.record import RequestRow


def row(source: str, harmful: bool, *, hard: bool = False, **labels: bool) -> RequestRow:
    return RequestRow(
        text="t",
        harmful=harmful,
        labels=labels,
        source=source,
        family=source,
        group="",
        licence="MIT",
        trains=True,
        hard=hard,
    )


def test_large_sets_do_not_drown_small_ones() -> None:
    rows = [row("large", i % 2 == 0) for i in range(400)] + [row("small", i % 2 == 0) for i in range(4)]
    found = labelled(rows, ("harm",), Weighting(set_power=0.5)).importance[:, 0]
    assert found.mean() == pytest.approx(1.0)
    # Totals go with the square root of the rows: 20 to 2.
    assert found[:400].sum() / found[400:].sum() == pytest.approx(10)
    same = labelled(rows, ("harm",), Weighting(set_power=0.0)).importance[:, 0]
    assert same[:400].sum() == pytest.approx(same[400:].sum())


def test_labels_of_a_set_weigh_the_same_up_to_a_limit() -> None:
    rows = [row("a", i < 20) for i in range(100)] + [row("b", i < 1) for i in range(100)] + [row("c", True)] * 5
    found = labelled(rows, ("harm",), Weighting(set_power=1.0)).importance[:, 0]
    assert found[:20].sum() == pytest.approx(found[20:100].sum())
    # One in a hundred would count 50 times; 4 is the most, and the others count 100 / 198.
    assert found[100] / found[101] == pytest.approx(4 * 198 / 100)
    assert len(set(found[200:].tolist())) == 1


def test_hard_rows_and_pairs_count_more_and_unknown_ones_not_at_all() -> None:
    rows = [row("a", False, hard=True, hate=False), row("a", False, hate=False), row("a", True, hate=True)]
    rows += [row("a", True), row("pairs", False, hate=False), row("pairs", True, hate=True)]
    weighting = Weighting(set_power=1.0, hard=3.0, paired=2.0, paired_sources=("pairs",))
    found = labelled(rows, ("harm", "hate"), weighting)
    assert found.targets.tolist() == [[0, 0], [0, 0], [1, 1], [1, 0], [0, 0], [1, 1]]
    harm, hate = found.importance.T
    assert harm[0] / harm[1] == pytest.approx(3)
    assert harm[4] / harm[1] == pytest.approx(2)
    assert hate[3] == 0.0
    assert np.flatnonzero(harm == 0).tolist() == []


def test_a_category_needs_both_labels() -> None:
    with pytest.raises(FitError, match="'harm' has 0 positive and 2 negative"):
        labelled([row("a", False)] * 2, ("harm",), Weighting())
