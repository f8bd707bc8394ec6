"""Where pairs come from, one source a file, each read in its published format.

A source with both completions of a prompt gives pairs; one with prompts alone is for `sampled`, which lets the model
itself reply.
"""

from __future__ import annotations

from importlib import import_module

from breakers.errors import PairsError
from breakers.pairs.sources.base import HubReference, PairSource, PromptSource, SourceSpec

SOURCES = (
    "demo",
    "toxigen",
    "bold",
    "winobias",
    "crows_pairs",
    "truthfulqa",
    "hh_rlhf",
    "real_toxicity_prompts",
    "advbench",
    "jailbreakbench",
    "jbb_artifacts",
)

__all__ = ["SOURCES", "HubReference", "PairSource", "PromptSource", "SourceSpec", "build_source"]


def build_source(name: str) -> PromptSource:
    """The source called `name`, imported only now; - and _ are the same.

    Raises:
        PairsError: no source has this name.
    """
    plain = name.replace("-", "_")
    if plain not in SOURCES:
        raise PairsError(f"source {name!r} is not known; wanted one of {', '.join(SOURCES)}")
    source = import_module(f"breakers.pairs.sources.{plain}").build()
    if not isinstance(source, PromptSource):
        raise TypeError(f"{plain}.build() gave a {type(source).__name__}")
    return source
