"""Tables of the scorers of real text, from the figures of `benchmarks.harm_scorers`."""

from __future__ import annotations

from collections.abc import Mapping

_BEHAVIOURS = {
    "toxicity": "toxicity",
    "gender_bias": "bias: gender",
    "stereotype": "bias: stereotype",
    "misinformation": "misinformation",
    "refusal": "refusal",
    "harmful_request": "compliance",
}
_KINDS = {
    "heldout": "held out",
    "unseen": "unseen",
    "labelled": "our labels",
    "none": "harmless",
}


def accuracy_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """Precision, recall and AUROC on each set with both labels, header first."""
    header = ["scorer", "replies", "set", "rows", "harmful", "precision", "recall", "AUROC"]
    return [header] + [
        [
            *_named(name),
            f"{figures[f'{name}.rows']:,.0f}",
            f"{figures[f'{name}.harmful']:,.0f}",
            *(_interval(figures, f"{name}.{figure}") for figure in ("precision", "recall", "auroc")),
        ]
        for name in _parts(figures)
        if f"{name}.auroc" in figures
    ]


def one_label_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """Sets of harmless replies alone, and of harmful ones alone, header first."""
    rows = []
    for name in _parts(figures):
        if f"{name}.auroc" not in figures:
            rate = "false_alarms" if f"{name}.false_alarms" in figures else "recall"
            found = _interval(figures, f"{name}.{rate}")
            cells = [found, "-"] if rate == "false_alarms" else ["-", found]
            rows.append([*_named(name), f"{figures[f'{name}.rows']:,.0f}", *cells])
    return [["scorer", "replies", "set", "rows", "false alarms", "recall"], *rows]


def pair_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """How often the rejected or stereotyped one of two scores higher, header first."""
    names = [name.removesuffix(".pairs") for name in figures if name.endswith(".pairs")]
    rows = [
        [*_named_pair(name), f"{figures[f'{name}.pairs']:,.0f}", _interval(figures, f"{name}.preferred")]
        for name in names
    ]
    return [["scorer", "set", "pairs", "scores higher"], *rows]


def identity_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """AUROC, false alarms and misses by identity term, header first."""
    prefix = "toxicity.identity."
    terms = [n.removeprefix(prefix).removesuffix(".auroc_all") for n in figures if n.endswith(".auroc_all")]
    rows = [
        [
            term.replace("_", " "),
            f"{figures[f'{prefix}{term}.rows']:,.0f}",
            f"{figures[f'{prefix}{term}.auroc']:.3f}",
            f"{figures[f'{prefix}{term}.auroc_all']:.3f}",
            *(f"{100 * figures[f'{prefix}{term}.{rate}']:.1f} %" for rate in ("false_alarms", "misses")),
        ]
        for term in terms
    ]
    name = prefix.removesuffix(".")
    together = [
        "all",
        f"{figures[f'{name}.rows']:,.0f}",
        f"{figures[f'{name}.auroc']:.3f}",
        "-",
        f"{100 * figures[f'{name}.false_alarms']:.1f} %",
        f"{100 * (1 - figures[f'{name}.recall']):.1f} %",
    ]
    header = ["identity term", "rows", "AUROC", "AUROC against all harmless rows", "false alarms", "misses"]
    return [header, together, *rows]


def _parts(figures: Mapping[str, float]) -> list[str]:
    """`BEHAVIOUR.KIND.SET` of every measured set, in order."""
    found = (name.removesuffix(".harmful") for name in figures if name.endswith(".harmful"))
    return [name for name in found if name.count(".") == 2]


def _named(name: str) -> list[str]:
    behaviour, kind, source = name.split(".")
    return [_BEHAVIOURS[behaviour], _KINDS[kind], source.replace("_", "-")]


def _named_pair(name: str) -> list[str]:
    behaviour, source = name.split(".")
    return [_BEHAVIOURS[behaviour], source.replace("_", "-")]


def _interval(figures: Mapping[str, float], name: str) -> str:
    shown = f"{figures[name]:.3f}"
    if f"{name}.low" not in figures:
        return shown
    return f"{shown} [{figures[f'{name}.low']:.3f}, {figures[f'{name}.high']:.3f}]"
