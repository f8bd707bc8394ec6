"""Tables of the general classifiers, from the figures of `benchmarks.classifier_eval`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

MEMBERS = ("lexical-requests", "embedding", "ensemble")
_COLUMNS = {
    "auroc": "AUROC",
    "f1": "F1 at 0.5",
    "recall_at_1_percent": "recall at 1 %",
    "recall_at_5_percent": "recall at 5 %",
    "ece": "ECE",
}
_BATCHES = (1, 8, 32)
_BUDGETS = ("0.5", "1", "5")


def summary_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """What the targets are about, by member, header first."""
    header = ["member", "mean AUROC, sets left out", "AUROC, pairs of unseen words", "told apart within a pair"]
    return [[*header, "ECE, sets left out", "one prompt, median"]] + [
        [
            member,
            _interval(figures, f"{member}.lodo.mean.auroc"),
            _interval(figures, f"{member}.pairs.auroc"),
            _interval(figures, f"{member}.pairs.ordered"),
            _interval(figures, f"{member}.lodo.overall.ece"),
            f"{figures[f'{member}.latency.1.p50']:.2f} ms",
        ]
        for member in MEMBERS
    ]


def family_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """AUROC of the overall score on each left-out family, by member, header first."""
    prefix, suffix = f"{MEMBERS[0]}.lodo.family.", ".positives"
    families = [
        name.removeprefix(prefix).removesuffix(suffix)
        for name in figures
        if name.startswith(prefix) and name.endswith(suffix)
    ]
    return [["left out", "harmful", "rows", *MEMBERS]] + [
        [
            family.replace("_", "-"),
            *(f"{figures[f'{prefix}{family}.{count}']:,.0f}" for count in ("positives", "rows")),
            *(_interval(figures, f"{member}.lodo.family.{family}.auroc") for member in MEMBERS),
        ]
        for family in families
    ]


def category_rows(part: str) -> Callable[[Mapping[str, float]], list[list[str]]]:
    """The table of one part (`lodo` or `heldout`) by member and category."""

    def rows(figures: Mapping[str, float]) -> list[list[str]]:
        found = []
        for member in MEMBERS:
            prefix = f"{member}.{part}."
            names = [
                n.removesuffix(".positives") for n in figures if n.startswith(prefix) and n.endswith(".positives")
            ]
            for name in (n for n in names if "." not in n.removeprefix(prefix)):
                cells = [_interval(figures, f"{name}.{column}") for column in _COLUMNS]
                category = name.removeprefix(prefix).replace("_", " ")
                found.append([member, category, f"{figures[f'{name}.positives']:,.0f}", *cells])
        return [["member", "category", "positives", *_COLUMNS.values()], *found]

    return rows


def reliability_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """Mean score and share of harmful rows by bin of the overall score, header first."""
    bins = [str(percent) for percent in range(0, 100, 10)]
    rows = []
    for percent in bins:
        cells = []
        for member in MEMBERS:
            name = f"{member}.lodo.overall.reliability.{percent}"
            shown = f"{name}.rows" in figures
            cells.append(
                f"{figures[f'{name}.score']:.2f} → {figures[f'{name}.share']:.2f} ({figures[f'{name}.rows']:,.0f})"
                if shown
                else "-"
            )
        rows.append([f"{percent} to {int(percent) + 10} %", *cells])
    return [["score", *(f"{member}: score → share harmful (rows)" for member in MEMBERS)], *rows]


def budget_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """Thresholds of the overall score by budget, header first."""
    header = ["member", *(f"{budget} % of benign prompts" for budget in _BUDGETS)]
    return [header] + [
        [
            member,
            *(
                f"{figures[f'{member}.budget.overall.{budget}_percent.threshold']:.3f} "
                f"(recall {figures[f'{member}.budget.overall.{budget}_percent.recall']:.3f})"
                for budget in _BUDGETS
            ),
        ]
        for member in MEMBERS
    ]


def latency_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """Milliseconds of a call by prompts in it, header first."""
    header = ["member", *(f"{batch} prompt{'s' if batch > 1 else ''}, median and p99" for batch in _BATCHES)]
    return [header] + [
        [
            member,
            *(
                f"{figures[f'{member}.latency.{batch}.p50']:.2f} / {figures[f'{member}.latency.{batch}.p99']:.2f} ms"
                for batch in _BATCHES
            ),
        ]
        for member in MEMBERS
    ]


def _interval(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    shown = f"{figures[name]:.3f}"
    if f"{name}.low" not in figures:
        return shown
    return f"{shown} [{figures[f'{name}.low']:.3f}, {figures[f'{name}.high']:.3f}]"
