"""Tables of the documents that come from the shipped classifier's model card."""

from __future__ import annotations

from classifiers.lexical import shipped_path
from classifiers.lexical.artifact import LexicalCard, load_card

_FIGURES = {
    "auroc": "AUROC",
    "f1": "F1 at 0.5",
    "recall_at_1_percent": "recall at 1 % false positives",
    "ece": "ECE",
    "positives": "positives",
    "prompts": "prompts",
}
_COUNTS = ("positives", "prompts")


def data_table() -> list[list[str]]:
    """Rows of the data sets that trained the classifier, header first."""
    card = load_card(shipped_path())
    header = ["data set", "licence", "rows", *(f"{c.replace('_', ' ')}, positive" for c in card.categories)]
    rows = [
        [s.name.replace("_", "-"), s.licence, f"{s.rows:,}", *(f"{s.positives[c]:,}" for c in card.categories)]
        for s in card.sources
    ]
    return [header, *rows]


def figures_table() -> list[list[str]]:
    """Rows of the held-out figures by part and category, header first."""
    card = load_card(shipped_path())
    parts = [(part, category) for part in ("demo", "public") for category in card.categories]
    rows = [[part, category.replace("_", " "), *_cells(card, f"{part}.{category}")] for part, category in parts]
    return [["held-out prompts", "category", *_FIGURES.values()], *rows]


def sources_table() -> list[list[str]]:
    """Rows of AUROC per public set that has both classes, header first."""
    card = load_card(shipped_path())
    rows = []
    for name, value in card.figures.items():
        words = name.split(".")
        if len(words) == 4 and words[3] == "auroc":
            rows.append([words[1].replace("_", "-"), words[2].replace("_", " "), f"{value:.3f}"])
    return [["public set, held-out part", "category", "AUROC"], *rows]


def made_on() -> str:
    """How the classifier was made."""
    card = load_card(shipped_path())
    calibrations = "; ".join(dict.fromkeys(card.calibration.values()))
    return f"`lexical:{card.weights_sha256[:6]}`, made by `{card.command}`, seed {card.seed}. {calibrations}.\n"


def _cells(card: LexicalCard, prefix: str) -> list[str]:
    cells = []
    for figure in _FIGURES:
        value = card.figures.get(f"{prefix}.{figure}")
        if value is None:
            cells.append("-")
        else:
            cells.append(f"{value:,.0f}" if figure in _COUNTS else f"{value:.3f}")
    return cells
