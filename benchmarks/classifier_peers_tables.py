"""Tables of the comparison with peers, from the figures of `benchmarks.classifier_peers`."""

from __future__ import annotations

from collections.abc import Mapping

_OURS = ("lexical-requests", "embedding", "ensemble")
_COLUMNS = ("auroc", "recall_at_1_percent", "recall_at_5_percent", "f1")
_SUFFIX = ".milliseconds.p50"


def summary_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """All prompts together, by contender, header first."""
    header = ["", "mean AUROC of families", "AUROC, all prompts", "recall at 1 %", "recall at 5 %", "F1"]
    return [[*header, "one prompt, median", "p99"]] + [
        [
            _shown(name),
            f"{figures[f'{name}.mean.auroc']:.3f}",
            *(_interval(figures, f"{name}.overall.{column}") for column in _COLUMNS),
            *(f"{figures[f'{name}.milliseconds.{p}']:.2f} ms" for p in ("p50", "p99")),
        ]
        for name in _contenders(figures)
    ]


def family_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """AUROC on each family by contender, header first."""
    names = _contenders(figures)
    prefix, suffix = f"{names[0]}.", ".positives"
    families = [
        name.removeprefix(prefix).removesuffix(suffix)
        for name in figures
        if name.startswith(prefix) and name.endswith(suffix)
    ]
    return [["family", "harmful", "rows", *map(_shown, names)]] + [
        [
            family.replace("_", "-"),
            *(f"{figures[f'{prefix}{family}.{count}']:,.0f}" for count in ("positives", "rows")),
            *(_interval(figures, f"{name}.{family}.auroc") for name in names),
        ]
        for family in families
        if family != "overall"
    ]


def _contenders(figures: Mapping[str, float]) -> list[str]:
    return [name.removesuffix(_SUFFIX) for name in figures if name.endswith(_SUFFIX)]


def _shown(name: str) -> str:
    return f"`{name}` (ours)" if name in _OURS else name.replace("_", "-")


def _interval(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    shown = f"{figures[name]:.3f}"
    if f"{name}.low" not in figures:
        return shown
    return f"{shown} [{figures[f'{name}.low']:.3f}, {figures[f'{name}.high']:.3f}]"
