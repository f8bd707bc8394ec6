"""`python -m benchmarks.scorers`: precision, recall and agreement of both harm scorers on labelled replies.

Labels say which template wrote a reply (harmful or neutral), for held-out prompts of every kind under a seed that no
fit uses. They are replies of the corpus, not of the model.
"""

from __future__ import annotations

import sys

from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from breakers.demo.corpus import BEHAVIOURS, KINDS, heldout
from classifiers.fitting.judge import agreement, label_replies, scorer_figures
from classifiers.scorers import build_scorer

NAME = "scorers"
PROMPTS_PER_KIND = 500
CORPUS_SEED = 4


def main() -> int:
    """Measure and write the result."""
    figures = measure(PROMPTS_PER_KIND)
    try:
        result = write_result(NAME, figures=figures, command="python -m benchmarks.scorers", packages=("numpy",))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, (op, bound) in result.targets.items():
        print(f"{figure:36} {result.figures[figure]:9.4f}   wanted {op} {bound:g}")
    return 0


def measure(prompts_per_kind: int) -> dict[str, float]:
    """All figures."""
    demo, judge = build_scorer("demo"), build_scorer("judge")
    replies = [r for kind in KINDS for r in label_replies(heldout(kind, prompts_per_kind, CORPUS_SEED))]
    figures: dict[str, float] = {}
    for behaviour in BEHAVIOURS:
        for name, scorer in (("demo", demo), ("judge", judge)):
            found = scorer_figures(scorer, replies, behaviour)
            figures[f"{name}.{behaviour}.precision"] = found.precision
            figures[f"{name}.{behaviour}.recall"] = found.recall
            figures[f"{name}.{behaviour}.harmful"] = float(found.harmful)
            figures[f"{name}.{behaviour}.replies"] = float(found.replies)
        figures[f"agreement.{behaviour}"] = agreement(demo, judge, replies, behaviour)
    return figures


if __name__ == "__main__":
    sys.exit(main())
