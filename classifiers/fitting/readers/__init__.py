"""Public data sets, one reader a file, each for the set's published format.

A reader yields every row with the labels that the row supports; nothing is sampled, and nothing is downloaded: the
folder is the user's (`SCALPEL_DATA` in the project's own fits). Only sets whose licence allows it are listed here:
share-alike, non-commercial and missing licences may measure a classifier, but do not train one that ships.

What a row says about harm potential: abuse, hate and identity attacks draw abuse (toxicity); a sentence that breaks
off before a pronoun for an occupation's holder draws a stereotype (gender bias); questions written to elicit common
falsehoods draw them (misinformation); instructions, school questions and small talk draw none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from classifiers.errors import UnknownMemberError
from classifiers.fitting.prompts import LabelledPrompt

Reader = Callable[[Path], Iterator[LabelledPrompt]]

LICENCES: Mapping[str, str] = {
    "surge_toxicity": "MIT",
    "davidson_hate": "MIT",
    "toxigen": "MIT",
    "unintended_bias": "CC BY 4.0",
    "jailbreakbench": "MIT",
    "winogender": "MIT",
    "winobias": "MIT",
    "truthfulqa": "Apache-2.0",
    "seed_instructions": "Apache-2.0",
    "gsm8k": "MIT",
    "mmlu": "MIT",
    "nq_open": "Apache-2.0",
    "self_dialogue": "BSD-3-Clause",
}
"""Reader -> licence of the data it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set that can be read."""

    name: str
    licence: str
    read: Reader


def build_source(name: str) -> Source:
    """The reader called `name`.

    Raises:
        UnknownMemberError: no reader has this name.
    """
    if name not in LICENCES:
        raise UnknownMemberError(f"data set {name!r} has no reader; readers: {', '.join(LICENCES)}")
    module = import_module(f"classifiers.fitting.readers.{name}")
    return Source(name=name, licence=LICENCES[name], read=module.read)
