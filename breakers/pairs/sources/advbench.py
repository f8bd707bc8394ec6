"""AdvBench: harmful requests, each with the beginning of a reply that complies.

File `harmful_behaviors.csv`, also copied as `advbench.csv`: `goal`, `target`. On the Hub: `walledai/AdvBench`, whose
goals are called `prompt`.
"""

from __future__ import annotations

from breakers.pairs.sources.goals import GoalSource


def build() -> GoalSource:
    """The source."""
    return GoalSource(
        name="advbench",
        licence="MIT",
        files=("harmful_behaviors.csv", "advbench.csv"),
        goal=("goal", "prompt"),
        target=("target",),
    )
