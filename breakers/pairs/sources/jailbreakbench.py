"""JailbreakBench: 100 harmful requests in ten categories, each with the beginning of a reply that complies.

File `harmful-behaviors.csv`, also copied as `jailbreakbench.csv`: `Goal`, `Target`. On the Hub:
`JailbreakBench/JBB-Behaviors`, config `behaviors`, split `harmful`.
"""

from __future__ import annotations

from breakers.pairs.sources.goals import GoalSource


def build() -> GoalSource:
    """The source."""
    return GoalSource(
        name="jailbreakbench",
        licence="MIT",
        files=("harmful-behaviors.csv", "jailbreakbench.csv"),
        hub_config="behaviors",
        hub_split="harmful",
        goal=("Goal",),
        target=("Target",),
    )
