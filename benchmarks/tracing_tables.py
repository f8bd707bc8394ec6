"""The tables of docs/results/tracing.md, from the figures of `benchmarks.tracing`."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tracing.figures import LENS, OURS

Figures = Mapping[str, float]

MODELS = {"demo": "demo model", "gpt2": "12-layer GPT-2"}
CONTENDERS = {OURS: "SCALPEL", LENS: "TransformerLens", "nnsight": "nnsight"}


def heads_rows(figures: Figures) -> list[list[str]]:
    """Exact patching of all heads: a row for each model and contender."""
    rows = [["", "", "seconds", "lowest and highest round", "forward-pass equivalents", "times as fast is SCALPEL"]]
    for model, shown in MODELS.items():
        for name, title in CONTENDERS.items():
            at = f"{model}.heads.{name}"
            ratio = figures.get(f"{model}.heads.times_as_fast_as.{name}")
            spread = f"{figures[f'{at}.seconds.least']:.1f} to {figures[f'{at}.seconds.most']:.1f}"
            rows.append(
                [
                    shown,
                    title,
                    f"{figures[f'{at}.seconds']:.1f}",
                    spread,
                    f"{figures[f'{at}.passes']:,.0f}",
                    "" if ratio is None else f"{ratio:.1f}",
                ]
            )
    return rows


def screen_rows(figures: Figures) -> list[list[str]]:
    """Screening against exact patching of everything: a row for each figure, a column for each model."""
    named = (
        ("cases", "pairs", 0),
        ("heads.count", "heads", 0),
        ("neurons.count", "neurons", 0),
        ("screen.seconds", "seconds of screening, verification included", 1),
        ("screen.passes", "forward-pass equivalents of it", 0),
        (
            "screen.transformer_lens.seconds.extrapolated",
            "seconds of TransformerLens for everything, extrapolated",
            0,
        ),
        ("screen.transformer_lens.neurons_sampled", "neurons that this is extrapolated from", 0),
        ("screen.times_as_fast", "times as fast is screening", 0),
        ("heads.rank_correlation", "rank correlation of estimates with exact effects, heads", 3),
        ("neurons.rank_correlation", "the same, neurons", 3),
        ("heads.recall", "share of the best heads among as many of the best estimates", 2),
        ("neurons.recall", "the same, neurons", 2),
        ("screen.recall", "share of the best heads and neurons that screening verifies", 2),
    )
    rows = [["", *MODELS.values()]]
    for figure, words, digits in named:
        values = [figures.get(f"{model}.{figure}") for model in MODELS]
        rows.append([words, *("" if value is None else f"{value:,.{digits}f}" for value in values)])
    return rows
