"""The tables of the case studies by name, as `benchmarks.tables` takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.case_studies import rows
from benchmarks.circuits_tables import BEHAVIOURS

Rows = Callable[[Mapping[str, float]], list[list[str]]]


def case_tables() -> dict[str, Rows]:
    """`case.BEHAVIOUR.TABLE` -> from figures to rows, header first."""
    made: dict[str, Callable[[str, Mapping[str, float]], list[list[str]]]] = {
        "outcome": lambda behaviour, figures: rows.outcome_rows(figures, behaviour),
        "members": lambda behaviour, _: rows.member_rows(_chain(behaviour)),
        "ablations": lambda behaviour, _: rows.ablation_rows(_chain(behaviour)),
        "parts": lambda behaviour, figures: rows.part_rows(figures, behaviour),
        "curve": lambda behaviour, figures: rows.curve_rows(figures, behaviour),
        "baselines": lambda behaviour, figures: rows.baseline_rows(figures, behaviour),
        "examples": lambda behaviour, _: rows.example_rows(_examples().behaviours[behaviour].mitigated),
        "failures": lambda behaviour, _: rows.failure_rows(_examples(), behaviour),
    }
    return {
        f"case.{behaviour}.{name}": partial(make, behaviour)
        for behaviour in BEHAVIOURS
        for name, make in made.items()
    }


def _chain(behaviour: str):
    from benchmarks.case_studies.chains import chain_folder, read_chain

    return read_chain(chain_folder(behaviour), behaviour).refined


def _examples():
    from benchmarks.circuits.examples import EXAMPLES_NAME, read_examples
    from benchmarks.results import results_folder

    return read_examples(results_folder() / EXAMPLES_NAME)
