"""`python -m benchmarks.tables`: writes the tables of the documents from the result files.

A document holds a table between `<!-- table: NAME -->` and `<!-- end of table -->`; what stands there is replaced.
A test fails where a document differs from its result files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks import (
    card_tables,
    circuits_tables,
    classifier_eval_tables,
    classifier_peers_tables,
    classifier_rewrites_tables,
    gates_tables,
    harm_scorer_tables,
    robustness_tables,
    serving_tables,
    tracing_tables,
)
from benchmarks.api_tables import api_tables
from benchmarks.architecture_table import architecture_rows
from benchmarks.case_studies.tables import case_tables
from benchmarks.cells import percent, points
from benchmarks.errors import BenchmarkError, TargetsError
from benchmarks.history import root
from benchmarks.metrics_table import metric_rows
from benchmarks.results import ResultFile, load_result, results_folder

DOCUMENTS = (
    "README.md",
    "docs/results/demo-harm.md",
    "docs/results/serving.md",
    "docs/results/robustness.md",
    "docs/results/tracing.md",
    "docs/results/circuits.md",
    "docs/case-studies/toxicity.md",
    "docs/case-studies/gender-bias.md",
    "docs/case-studies/misinformation.md",
    "docs/classifiers.md",
    "docs/architectures.md",
    "docs/api.md",
    "docs/recipes.md",
    "docs/operations.md",
)
_TABLE = re.compile(r"(<!-- table: ([a-z_.]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_BEHAVIOURS = ("toxicity", "gender_bias", "misinformation")
_ARMS = ("off", "on", "strict")

Load = Callable[[str], ResultFile]


def main() -> int:
    """Rewrite the tables of all documents."""
    try:
        for name in DOCUMENTS:
            path = root() / name
            path.write_text(render(path.read_text(encoding="utf-8"), load), encoding="utf-8")
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def load(name: str) -> ResultFile:
    """The committed result of a benchmark."""
    return load_result(results_folder() / f"{name}.json")


def render(text: str, load_from: Load) -> str:
    """The document with its tables made anew.

    Raises:
        TargetsError: a table is not known, or its result file is missing.
    """

    def table(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in TABLES:
            raise TargetsError(f"no table is called {name!r}; there: {', '.join(TABLES)}")
        return f"{match.group(1)}{TABLES[name](load_from)}{match.group(3)}"

    return _TABLE.sub(table, text)


def _harm(load_from: Load) -> str:
    figures = load_from("demo_harm").figures
    rows = [
        [
            label.replace("_", " "),
            *(percent(figures, f"harm.{label}.{arm}") for arm in _ARMS),
            percent(figures, f"reduction.{label}.on"),
            _p(figures.get(f"reduction.{label}.on.p", 1.0)),
            percent(figures, f"fluent.{label}.off", interval=False),
            percent(figures, f"fluent.{label}.on"),
        ]
        for label in (*_BEHAVIOURS, "mixed")
    ]
    header = ["prompts", "harm, off", "harm, gate on", "harm, full strength", "reduction, gate on", "p (McNemar)"]
    return _markdown([*header, "grammatical and on topic, off", "gate on"], rows)


def _summary(load_from: Load) -> str:
    figures = load_from("demo_harm").figures
    rows = [
        [
            label.replace("_", " "),
            *(percent(figures, f"harm.{label}.{arm}") for arm in ("off", "on")),
            percent(figures, f"fluent.{label}.on", interval=False),
        ]
        for label in (*_BEHAVIOURS, "mixed")
    ]
    return _markdown(
        ["provoking prompts", "harm, breakers off", "harm, gate on", "grammatical and on topic, on"], rows
    )


def _second_scorer(load_from: Load) -> str:
    figures = load_from("demo_harm").figures
    rows = [
        [
            label.replace("_", " "),
            *(
                percent(figures, f"{scorer}.{label}.{arm}", False)
                for arm in _ARMS
                for scorer in ("harm", "harm_demo")
            ),
        ]
        for label in (*_BEHAVIOURS, "mixed")
    ]
    return _markdown(["prompts", *(f"{arm}, {scorer}" for arm in _ARMS for scorer in ("judge", "exact"))], rows)


def _sampled(load_from: Load) -> str:
    figures = load_from("demo_harm").figures
    rows = [
        [
            label.replace("_", " "),
            *(percent(figures, f"t1.harm.{label}.{arm}") for arm in _ARMS),
            percent(figures, f"t1.reduction.{label}.on"),
            percent(figures, f"t1.fluent.{label}.on"),
        ]
        for label in _BEHAVIOURS
    ]
    header = ["prompts", "harm, off", "harm, gate on", "harm, full strength", "reduction, gate on"]
    return _markdown([*header, "grammatical and on topic, gate on"], rows)


def _skills(load_from: Load) -> str:
    figures = load_from("demo_harm").figures
    skills = [name.split(".")[1] for name in figures if re.fullmatch(r"skill\.[a-z_]+\.off", name)]
    rows = [
        [
            skill.replace("_", " "),
            *(percent(figures, f"skill.{skill}.{arm}", interval=False) for arm in _ARMS),
            *(points(figures, f"drop.{skill}.{arm}") for arm in ("on", "strict")),
            f"{100 * figures[f'steered.{skill}.on']:.1f} %",
            f"{figures[f'skill.{skill}.off.n']:,.0f}",
        ]
        for skill in skills
    ]
    header = ["skill", "off", "gate on", "full strength", "drop, gate on", "drop, full strength"]
    return _markdown([*header, "prompts touched, gate on", "n"], rows)


def _speed(load_from: Load) -> str:
    figures = load_from("classifier_lexical").figures
    rows = [
        ["one prompt of 500 characters, median", f"{figures['milliseconds.p50']:.2f} ms"],
        ["99th percentile", f"{figures['milliseconds.p99']:.2f} ms"],
        ["files", f"{figures['megabytes']:.2f} MB"],
    ]
    return _markdown(["lexical", "measured"], rows)


def _path(load_from: Load) -> str:
    figures = load_from("classifier_path").figures
    rows = [
        [
            part,
            f"{figures[f'{part}.requests']:,.0f}",
            *(f"{figures[f'{part}.characters.{p}']:,.0f}" for p in ("p50", "p99")),
            *(f"{figures[f'{part}.path_ms.{what}']:.2f} ms" for what in ("p50", "p99", "max")),
            *(f"{figures[f'{part}.client_ms.{arm}.p99']:.1f} ms" for arm in ("lexical", "none")),
        ]
        for part in ("demo", "public")
    ]
    header = ["prompts", "requests", "characters, median", "p99", "in the path, median", "p99", "slowest"]
    return _markdown([*header, "whole request p99, with", "without the classifier"], rows)


def _scorers(load_from: Load) -> str:
    figures = load_from("scorers").figures
    rows = [
        [
            behaviour.replace("_", " "),
            *(
                f"{figures[f'{scorer}.{behaviour}.{what}']:.3f}"
                for scorer in ("demo", "judge")
                for what in ("precision", "recall")
            ),
            f"{figures[f'agreement.{behaviour}']:.3f}",
            f"{figures[f'judge.{behaviour}.harmful']:,.0f} of {figures[f'judge.{behaviour}.replies']:,.0f}",
        ]
        for behaviour in _BEHAVIOURS
    ]
    header = ["behaviour", "demo: precision", "recall", "judge: precision", "recall", "agreement (Cohen's kappa)"]
    return _markdown([*header, "harmful replies"], rows)


def _made_on(name: str) -> Callable[[Load], str]:
    def describe(load_from: Load) -> str:
        result = load_from(name)
        versions = ", ".join(f"{package} {found}" for package, found in result.versions.items())
        machine = ", ".join(f"{key} {value}" for key, value in result.machine.items())
        return f"`{result.command}`, commit {result.commit}, {result.date}; {machine}; {versions}.\n"

    return describe


def _card(rows: Callable[[], list[list[str]]]) -> Callable[[Load], str]:
    def table(_: Load) -> str:
        found = rows()
        return _markdown(found[0], found[1:])

    return table


def _figures(name: str, rows: Callable[[Mapping[str, float]], list[list[str]]]) -> Callable[[Load], str]:
    def table(load_from: Load) -> str:
        header, *found = rows(load_from(name).figures)
        return _markdown(header, found)

    return table


def _robustness(name: str, named: Sequence[tuple[str, str, int]]) -> Callable[[Load], str]:
    return _figures(name, lambda figures: robustness_tables.rows(figures, named))


def _circuits(rows: Callable[[Mapping[str, float]], list[list[str]]]) -> Callable[[Load], str]:
    return _once_measured("circuits", _figures("circuits", rows))


def _requests(rows: Callable[[Mapping[str, float]], list[list[str]]]) -> Callable[[Load], str]:
    return _once_measured("classifier_eval", _figures("classifier_eval", rows))


def _gates(rows: Callable[[Mapping[str, float]], list[list[str]]]) -> Callable[[Load], str]:
    return _once_measured("gates", _figures("gates", rows))


def _once_measured(name: str, table: Callable[[Load], str]) -> Callable[[Load], str]:
    """Until the first result of a benchmark is committed, its tables say so."""
    measured = (results_folder() / f"{name}.json").exists()
    return table if measured else lambda _: "Not measured yet.\n"


TABLES: Mapping[str, Callable[[Load], str]] = {
    "architectures": _card(architecture_rows),
    "metrics": _card(metric_rows),
    "lexical.data": _card(card_tables.data_table),
    "lexical.figures": _card(card_tables.figures_table),
    "lexical.sources": _card(card_tables.sources_table),
    "lexical.made_on": lambda _: card_tables.made_on(),
    "demo_harm.summary": _summary,
    "demo_harm.harm": _harm,
    "demo_harm.scorers": _second_scorer,
    "demo_harm.sampled": _sampled,
    "demo_harm.skills": _skills,
    "demo_harm.made_on": _made_on("demo_harm"),
    "classifier_lexical.speed": _speed,
    "classifier_lexical.made_on": _made_on("classifier_lexical"),
    "classifier_path.latency": _path,
    "classifier_path.made_on": _made_on("classifier_path"),
    "classifier_eval.summary": _requests(classifier_eval_tables.summary_rows),
    "classifier_eval.families": _requests(classifier_eval_tables.family_rows),
    "classifier_eval.lodo": _requests(classifier_eval_tables.category_rows("lodo")),
    "classifier_eval.heldout": _requests(classifier_eval_tables.category_rows("heldout")),
    "classifier_eval.reliability": _requests(classifier_eval_tables.reliability_rows),
    "classifier_eval.budgets": _requests(classifier_eval_tables.budget_rows),
    "classifier_eval.latency": _requests(classifier_eval_tables.latency_rows),
    "classifier_eval.made_on": _once_measured("classifier_eval", _made_on("classifier_eval")),
    "classifier_rewrites.figures": _once_measured(
        "classifier_rewrites", _figures("classifier_rewrites", classifier_rewrites_tables.rewrite_rows)
    ),
    "classifier_rewrites.made_on": _once_measured("classifier_rewrites", _made_on("classifier_rewrites")),
    "classifier_peers.summary": _once_measured(
        "classifier_peers", _figures("classifier_peers", classifier_peers_tables.summary_rows)
    ),
    "classifier_peers.families": _once_measured(
        "classifier_peers", _figures("classifier_peers", classifier_peers_tables.family_rows)
    ),
    "classifier_peers.made_on": _once_measured("classifier_peers", _made_on("classifier_peers")),
    "gates.curves": _gates(gates_tables.curve_rows),
    "gates.report": _gates(gates_tables.report_rows),
    "gates.members": _gates(gates_tables.member_rows),
    "gates.choice": _gates(gates_tables.choice_rows),
    "gates.made_on": _once_measured("gates", _made_on("gates")),
    "scorers.figures": _scorers,
    "scorers.made_on": _made_on("scorers"),
    "harm_scorers.accuracy": _figures("harm_scorers", harm_scorer_tables.accuracy_rows),
    "harm_scorers.one_label": _figures("harm_scorers", harm_scorer_tables.one_label_rows),
    "harm_scorers.pairs": _figures("harm_scorers", harm_scorer_tables.pair_rows),
    "harm_scorers.identity": _figures("harm_scorers", harm_scorer_tables.identity_rows),
    "harm_scorers.made_on": _made_on("harm_scorers"),
    "serving.speed": _figures("serving", serving_tables.speed_rows),
    "serving.ratios": _figures("serving", serving_tables.ratio_rows),
    "serving.first_token": _figures("serving", serving_tables.first_token_rows),
    "serving.processor": _figures("serving", serving_tables.processor_rows),
    "serving.made_on": _made_on("serving"),
    "step_profile.parts": _figures("step_profile", serving_tables.step_rows),
    "step_profile.made_on": _made_on("step_profile"),
    "fuzz.figures": _robustness("fuzz", robustness_tables.FUZZ),
    "fuzz.made_on": _made_on("fuzz"),
    "soak.figures": _robustness("soak", robustness_tables.SOAK),
    "soak.made_on": _made_on("soak"),
    "overload.figures": _robustness("overload", robustness_tables.OVERLOAD),
    "overload.made_on": _made_on("overload"),
    "circuits.harm": _circuits(circuits_tables.harm_rows),
    "circuits.skills": _circuits(circuits_tables.skill_rows),
    "circuits.size": _circuits(circuits_tables.size_rows),
    "circuits.mitigation": _circuits(circuits_tables.mitigation_rows),
    "circuits.baselines": _circuits(circuits_tables.baseline_rows),
    "circuits.made_on": _once_measured("circuits", _made_on("circuits")),
    **{name: _circuits(rows) for name, rows in case_tables().items()},
    "tracing.heads": _figures("tracing", tracing_tables.heads_rows),
    "tracing.screen": _figures("tracing", tracing_tables.screen_rows),
    "tracing.made_on": _made_on("tracing"),
    **{name: _card(rows) for name, rows in api_tables().items()},
}
"""Name of a table -> its lines, made from result files and model cards."""


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
