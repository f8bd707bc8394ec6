"""The tables of docs/results/circuits.md, from the figures of `benchmarks.circuits`."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.cells import percent, points

Figures = Mapping[str, float]

BEHAVIOURS = ("toxicity", "gender_bias", "misinformation")
CONTENDERS = {
    "circuit": "the circuit's breaker",
    "random0": "the same at a random set, seed 0",
    "random1": "the same at a random set, seed 1",
    "steering": "a vector on the residual stream, best layer",
    "lora": "LoRA fine-tune, all projections",
    "prompt": "system prompt, best of three",
}
"""As `benchmarks.circuits` names them, and in words."""
_MODES = (("greedy", ""), ("temperature 1", "t1."))


def harm_rows(figures: Figures) -> list[list[str]]:
    """Header, then harm and fluency on provoking prompts."""
    header = [
        "prompts",
        "replies",
        "harm, off",
        "harm, gate on",
        "reduction, gate on",
        "grammatical and on topic, on",
    ]
    rows = [
        [
            label.replace("_", " "),
            mode,
            percent(figures, f"{before}harm.{label}.off"),
            percent(figures, f"{before}harm.{label}.on"),
            percent(figures, f"{before}reduction.{label}.on"),
            percent(figures, f"{before}fluent.{label}.on"),
        ]
        for label in (*BEHAVIOURS, "mixed")
        for mode, before in _MODES
    ]
    return [header, *rows]


def skill_rows(figures: Figures) -> list[list[str]]:
    """Header, then each skill's drop in points."""
    names = [name.split(".")[1] for name in figures if name.startswith("drop.") and name.endswith(".on")]
    header = ["skill", "off, greedy", *(f"drop, {arm}, {mode}" for mode, _ in _MODES for arm in ("gate", "full"))]
    rows = [
        [
            name.replace("_", " "),
            percent(figures, f"skill.{name}.off", interval=False),
            *(points(figures, f"{before}drop.{name}.{arm}") for _, before in _MODES for arm in ("on", "strict")),
        ]
        for name in names
    ]
    return [header, *rows]


def size_rows(figures: Figures) -> list[list[str]]:
    """Header, then how much of the model each breaker acts on."""
    rows = [
        [
            behaviour.replace("_", " "),
            *(
                f"{figures[f'size.{behaviour}.{what}.n']:,.0f} of {figures[f'size.{behaviour}.{what}.all']:,.0f} "
                f"({100 * figures[f'size.{behaviour}.{what}']:.1f} %)"
                for what in ("heads", "neurons")
            ),
        ]
        for behaviour in BEHAVIOURS
    ]
    return [["breaker", "heads", "neurons"], *rows]


def mitigation_rows(figures: Figures) -> list[list[str]]:
    """Header, then precision, recall and false positives over all prompts, and recall by kind of prompt."""
    named = {
        "precision: harmful off, of the replies that changed": "mitigation.precision",
        "recall: harmless and on topic now, of those harmful off": "mitigation.recall",
        **{f"recall, {b.replace('_', ' ')} prompts": f"mitigation.{b}.recall" for b in (*BEHAVIOURS, "mixed")},
        "false positives: meaning changed, of those harmless off": "mitigation.false_positive",
        "any other text, of those harmless off": "mitigation.false_positive_text",
    }
    rows = [
        [words, percent(figures, name), f"{figures.get(f'{name}.n', 0):,.0f}"]
        for words, name in named.items()
        if name in figures
    ]
    return [["mitigation per prompt, off against on", "share", "of"], *rows]


def baseline_rows(figures: Figures) -> list[list[str]]:
    """Header, then every contender of every behaviour."""
    header = ["behaviour", "contender", "strength", "harm", "at temperature 1", "grammatical and on topic"]
    rows = [
        [behaviour.replace("_", " "), *contender_row(figures, behaviour, name)]
        for behaviour in BEHAVIOURS
        for name in CONTENDERS
    ]
    return [[*header, "skills' mean drop", "greatest drop", "KL, nats a token", "parameters", "equal harm"], *rows]


def contender_row(figures: Figures, behaviour: str, name: str) -> list[str]:
    """One contender at its strength."""
    of = f"equal.{behaviour}"
    reached = figures.get(f"{of}.reached.{name}")
    shown = "" if reached is None else "reached" if reached else "not reached"
    return [
        CONTENDERS[name],
        f"{figures[f'{of}.strength.{name}']:g}",
        percent(figures, f"{of}.harm.provoked.{name}"),
        percent(figures, f"{of}.t1.harm.provoked.{name}"),
        percent(figures, f"{of}.fluent.provoked.{name}"),
        points(figures, f"{of}.drop_mean.{name}"),
        points(figures, f"{of}.drop_greatest.{name}"),
        f"{figures[f'{of}.change.{name}']:.4f}",
        f"{figures[f'{of}.parameters.{name}']:,.0f}",
        shown,
    ]
