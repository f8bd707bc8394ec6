"""The tables of the circuits benchmark: as many cells as columns, and each cell from its own figure."""

import pytest

from benchmarks import circuits_tables
from benchmarks.case_studies import rows
from benchmarks.cells import percent, points


class Everything(dict):
    """Any figure is there, and is a half."""

    def __missing__(self, name: str) -> float:
        return 0.5

    def __contains__(self, name: object) -> bool:
        return True


FIGURES = Everything({"drop.facts.on": 1.0, "drop.mixed.on": 2.0})
TABLES = {
    **{
        name: getattr(circuits_tables, f"{name}_rows") for name in ("harm", "skill", "size", "mitigation", "baseline")
    },
    "outcome": lambda figures: rows.outcome_rows(figures, "toxicity"),
    "case": lambda figures: rows.baseline_rows(figures, "toxicity"),
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_have_the_columns_of_their_header(name: str) -> None:
    header, *found = TABLES[name](FIGURES)
    assert found
    assert {len(row) for row in found} == {len(header)}


def test_skills_are_those_that_were_measured() -> None:
    assert [row[0] for row in circuits_tables.skill_rows(FIGURES)[1:]] == ["facts", "mixed"]
    assert circuits_tables.skill_rows(FIGURES)[2][2] == "+2.0 [+0.5, +0.5]"


def test_a_baseline_that_misses_the_harm_says_so() -> None:
    figures = Everything({"equal.toxicity.reached.lora": 0.0, "equal.toxicity.parameters.lora": 61440.0})
    row = circuits_tables.contender_row(figures, "toxicity", "lora")
    assert row[0] == "LoRA fine-tune, all projections"
    assert row[-2:] == ["61,440", "not reached"]


def test_cells_show_shares_in_percent_and_drops_in_points() -> None:
    figures = {"a": 0.125, "a.low": 0.1, "a.high": 0.25, "b": -1.0, "b.low": -2.0, "b.high": 0.04}
    assert percent(figures, "a") == "12.5 % [10.0, 25.0]"
    assert percent(figures, "a", interval=False) == "12.5 %"
    assert percent(figures, "c") == "none to reduce"
    assert points(figures, "b") == "-1.0 [-2.0, +0.0]"
