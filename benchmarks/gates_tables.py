"""Tables of the gates' benchmark: figures to rows, header first."""

from __future__ import annotations

import re
from collections.abc import Mapping

Figures = Mapping[str, float]
_BEHAVIOURS = ("toxicity", "gender_bias", "misinformation")
_STEPS = 16


def curve_rows(figures: Figures) -> list[list[str]]:
    """The shipped gates' staircases, and how many prompts are on each step."""
    rows = []
    for behaviour in _BEHAVIOURS:
        pattern = re.compile(rf"{behaviour}\.curve\.(\d+)\.from")
        for level in sorted(int(m.group(1)) for name in figures if (m := pattern.fullmatch(name))):
            at = f"{behaviour}.curve.{level}"
            shares = [f"{100 * figures[f'{at}.{kind}']:.1f} %" for kind in ("benign", "other")]
            rows.append([_shown(behaviour), f"{figures[f'{at}.from']:.4f}", f"{level / _STEPS:g}", *shares])
    return [["behaviour", "harm potential from", "strength", "benign prompts there", "other prompts there"], *rows]


def report_rows(figures: Figures) -> list[list[str]]:
    """Gates on their own prompts and cross-fitted."""
    header = ["behaviour", "judged on", "harm, off", "harm", "change, nats a token", "benign prompts at strength 0"]
    rows = []
    for behaviour in _BEHAVIOURS:
        for name, shown in (("shipped", "all prompts, the shipped gate"), ("lexical", "other folds, fitted anew")):
            at = f"{behaviour}.{name}"
            cells = [_cell(figures, f"{at}.{what}") for what in ("harm_off", "harm", "change")]
            costs = [_cell(figures, f"{at}.{what}") for what in ("cost", "regret_fixed", "regret_per_prompt")]
            rows.append([_shown(behaviour), shown, *cells, _percent(figures, f"{at}.benign_off_share"), *costs])
    return [[*header, "cost", "regret, best fixed strength", "regret, best per prompt"], *rows]


def member_rows(figures: Figures) -> list[list[str]]:
    """Gates on other classifiers' harm potentials, cross-fitted."""
    header = ["behaviour", "classifier", "AUROC of harm", "p_off", "harm", "benign prompts at strength 0", "cost"]
    rows = []
    for behaviour in _BEHAVIOURS:
        for member in _members(figures, behaviour):
            at = f"{behaviour}.{member}"
            parameters = [f"{figures[f'{at}.auroc']:.3f}", f"{figures[f'{at}.p_off']:.3f}"]
            rows.append(
                [
                    _shown(behaviour),
                    f"`{member}`",
                    *parameters,
                    _cell(figures, f"{at}.harm"),
                    _percent(figures, f"{at}.benign_off_share"),
                    _cell(figures, f"{at}.cost"),
                    _cell(figures, f"{at}.regret_fixed"),
                ]
            )
    return [[*header, "regret, best fixed strength"], *rows]


def choice_rows(figures: Figures) -> list[list[str]]:
    """Each variant always, the rule, and what the rule gains, cross-fitted."""
    header = ["behaviour", "what acts", "harm", "change, nats a token", "benign prompts at strength 0", "cost"]
    rows = []
    for behaviour in _BEHAVIOURS:
        at = f"{behaviour}.choice"
        prefix, suffix = f"{at}.always.", ".cost"
        variants = [
            name.removeprefix(prefix).removesuffix(suffix)
            for name in figures
            if name.startswith(prefix) and name.endswith(suffix)
        ]
        for variant in variants:
            best = " (best)" if figures[f"{at}.single.{variant}"] else ""
            rows.append([_shown(behaviour), f"always `{variant}`{best}", *_way(figures, prefix + variant), ""])
        used = "the choice" if figures[f"{at}.beats_single"] else "not chosen"
        segments = f"the rule, {figures[f'{at}.segments']:.0f} segments"
        rows.append([_shown(behaviour), segments, *_way(figures, f"{at}.rule"), _cell(figures, f"{at}.gain")])
        rows[-1][-1] += f", {used}"
        rows.append(
            [_shown(behaviour), "best of each prompt", "", "", "", _cell(figures, f"{at}.cost_per_prompt"), ""]
        )
    return [[*header, "cost less than the best variant"], *rows]


def _way(figures: Figures, at: str) -> list[str]:
    share = _percent(figures, f"{at}.benign_off_share")
    return [_cell(figures, f"{at}.harm"), _cell(figures, f"{at}.change"), share, _cell(figures, f"{at}.cost")]


def _members(figures: Figures, behaviour: str) -> list[str]:
    pattern = re.compile(rf"{behaviour}\.([a-z-]+)\.auroc")
    return [m.group(1) for name in figures if (m := pattern.fullmatch(name))]


def _shown(name: str) -> str:
    return name.replace("_", " ")


def _cell(figures: Figures, name: str) -> str:
    if name not in figures:
        return "-"
    return f"{figures[name]:.4f} [{figures[f'{name}.low']:.4f}, {figures[f'{name}.high']:.4f}]"


def _percent(figures: Figures, name: str) -> str:
    if name not in figures:
        return "-"
    return f"{100 * figures[name]:.1f} % [{100 * figures[f'{name}.low']:.1f}, {100 * figures[f'{name}.high']:.1f}]"
