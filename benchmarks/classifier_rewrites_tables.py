"""Tables of disguised requests, from the figures of `benchmarks.classifier_rewrites`."""

from __future__ import annotations

from collections.abc import Mapping

MEMBERS = ("lexical-requests", "embedding", "ensemble")


def rewrite_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """Recall, cost and gain of each disguise by member, header first; plain requests first of each member."""
    rows = []
    for member in MEMBERS:
        plain = f"{member}.plain"
        rows.append([member, "plain", _share(figures, f"{plain}.recall"), "", _share(figures, f"{plain}.recall_off")])
        rows[-1] += ["", "", ""]
        for name in _rewrites(figures, member):
            prefix = f"{member}.{name}"
            cells = [_share(figures, f"{prefix}.recall"), _points(figures, f"{prefix}.cost")]
            cells += [_share(figures, f"{prefix}.recall_off"), _points(figures, f"{prefix}.gain")]
            cells += [_share(figures, f"{prefix}.false_alarms"), _share(figures, f"{prefix}.false_alarms_off")]
            rows.append([member, name.replace("_", " "), *cells])
    header = ["member", "requests", "recall", "cost in points", "recall, readings off", "gain in points"]
    return [[*header, "false alarms", "false alarms, readings off"], *rows]


def _rewrites(figures: Mapping[str, float], member: str) -> list[str]:
    prefix, suffix = f"{member}.", ".false_alarms"
    return [
        name.removeprefix(prefix).removesuffix(suffix)
        for name in figures
        if name.startswith(prefix) and name.endswith(suffix)
    ]


def _share(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.3f} [{figures[f'{name}.low']:.3f}, {figures[f'{name}.high']:.3f}]"


def _points(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:+.1f} [{figures[f'{name}.low']:+.1f}, {figures[f'{name}.high']:+.1f}]"
