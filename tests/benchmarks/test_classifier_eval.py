"""Tables of the general classifiers, and the check that what ships was fitted on the rows that are measured."""

from types import SimpleNamespace

import pytest
from labelled_requests import made_up_table

from benchmarks import classifier_eval_tables as tables
from benchmarks.classifier_eval.measuring import check_rows
from benchmarks.errors import BenchmarkError
from classifiers.fitting.requests.provenance import source_cards
from classifiers.fitting.requests.recipes import CATEGORIES


def figures() -> dict[str, float]:
    found: dict[str, float] = {}
    for member, value in zip(tables.MEMBERS, (0.7, 0.8, 0.9), strict=True):
        own = {
            "lodo.mean.auroc": value,
            "lodo.mean.auroc.low": value - 0.05,
            "lodo.mean.auroc.high": value + 0.05,
            "lodo.family.east.positives": 30.0,
            "lodo.family.east.rows": 1060.0,
            "lodo.family.east.auroc": value / 2,
            "lodo.overall.positives": 100.0,
            "lodo.overall.auroc": value,
            "lodo.overall.ece": 0.04,
            "lodo.overall.reliability.90.rows": 1234.0,
            "lodo.overall.reliability.90.score": 0.95,
            "lodo.overall.reliability.90.share": 0.85,
            "pairs.auroc": 0.5,
            "pairs.ordered": 0.6,
        }
        own |= {f"latency.{n}.{p}": n * value for n in (1, 8, 32) for p in ("p50", "p99")}
        own |= {f"budget.overall.{b}_percent.{w}": value for b in ("0.5", "1", "5") for w in ("threshold", "recall")}
        found |= {f"{member}.{name}": number for name, number in own.items()}
    return found


def test_tables_show_every_member() -> None:
    found = figures()
    assert tables.summary_rows(found)[1] == [
        "lexical-requests",
        "0.700 [0.650, 0.750]",
        "0.500",
        "0.600",
        "0.040",
        "0.70 ms",
    ]
    assert tables.family_rows(found)[1:] == [["east", "30", "1,060", "0.350", "0.400", "0.450"]]
    assert tables.category_rows("lodo")(found)[1:] == [
        [member, "overall", "100", f"{value:.3f}", "-", "-", "-", "0.040"]
        for member, value in zip(tables.MEMBERS, (0.7, 0.8, 0.9), strict=True)
    ]
    assert tables.reliability_rows(found)[-1] == ["90 to 100 %", *["0.95 → 0.85 (1,234)"] * 3]
    assert tables.reliability_rows(found)[1] == ["0 to 10 %", "-", "-", "-"]
    assert tables.budget_rows(found)[2][1] == "0.800 (recall 0.800)"
    assert tables.latency_rows(found)[3][3] == "28.80 / 28.80 ms"


def test_what_ships_must_be_fitted_on_the_rows_that_are_measured() -> None:
    table = made_up_table()
    sources = source_cards(table.at(table.training()), CATEGORIES)
    shipped = SimpleNamespace(card=SimpleNamespace(sources=sources))
    older = SimpleNamespace(card=SimpleNamespace(sources=sources[1:]))
    check = getattr(check_rows, "__wrapped__", check_rows)
    check(table, {"lexical-requests": shipped, "embedding": shipped})
    with pytest.raises(BenchmarkError, match=f"as embedding was fitted on other rows of {sources[0].name}; fit it"):
        check(table, {"lexical-requests": shipped, "embedding": older})
