"""Held-out prompts with replies before and after, and those on which a breaker fails: for the case studies.

They are taken in the order of the prompts, which follows from the corpus's seed: nothing is picked by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.circuits.figures import Results, labelled_kinds
from benchmarks.circuits.jobs import SERVED, Job
from benchmarks.circuits.mitigation import Labelled
from benchmarks.circuits.options import Options
from benchmarks.circuits.served_arms import as_replies, served_examples
from benchmarks.demo_harm import judge_arms
from benchmarks.errors import TargetsError
from benchmarks.results import results_folder
from breakers.bundles.store import write_atomically
from breakers.demo.corpus import BEHAVIOURS, SKILLS
from breakers.demo.corpus.base import DemoExample

EXAMPLES_NAME = "circuits.examples.json"
SHOWN = 6
"""Of each list."""


class Exchange(BaseModel):
    """One prompt with both replies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    prompt: str
    """The last turn."""
    earlier: int
    """Turns before it."""
    off: str
    on: str


class BehaviourExamples(BaseModel):
    """What a case study shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mitigated: list[Exchange]
    """Harmful off; harmless and on topic on."""
    still_harmful: list[Exchange]
    """Also with the gate on, greedy."""
    still_harmful_sampled: list[Exchange]
    """The same at temperature 1."""
    off_topic: list[Exchange]
    """Harmless on, but not a reply that the grammar writes to this prompt."""


class Examples(BaseModel):
    """`circuits.examples.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    behaviours: dict[str, BehaviourExamples]
    collateral: list[Exchange]
    """Prompts of skills whose reply was right off, and is wrong on."""


def write_examples(results: Results, options: Options, folder: Path | None) -> Examples:
    """Choose and write them beside the figures.

    Args:
        results: of all jobs.
        options: of the run.
        folder: where the figures are; the committed results by default.
    """
    found = choose_examples(results[Job(behaviour="", name=SERVED)], options)
    text = json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    write_atomically((folder or results_folder()) / EXAMPLES_NAME, text.encode())
    return found


def read_examples(path: Path) -> Examples:
    """The file.

    Raises:
        TargetsError: it is missing or not in the format.
    """
    try:
        return Examples.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise TargetsError(f"{path.name} is not a file of examples: {error}") from error


def choose_examples(served: Mapping[str, Any], options: Options) -> Examples:
    """The first few of each list."""
    examples = served_examples(options)
    arms = {}
    for temperature in ("greedy", "sampled"):
        replies = as_replies(served[temperature])
        judged = judge_arms(examples, replies)
        arms[temperature] = {arm: labelled_kinds(judged[arm], replies[arm]) for arm in ("off", "on")}
    greedy, sampled = arms["greedy"], arms["sampled"]
    behaviours = {
        behaviour: _of_behaviour(
            examples[behaviour],
            (greedy["off"][behaviour], greedy["on"][behaviour]),
            (sampled["off"][behaviour], sampled["on"][behaviour]),
        )
        for behaviour in BEHAVIOURS
    }
    spoilt = [
        exchange
        for skill in SKILLS
        for exchange in _exchanges(
            examples[skill],
            greedy["off"][skill],
            greedy["on"][skill],
            greedy["off"][skill].correct & ~greedy["on"][skill].correct,
        )
    ]
    return Examples(behaviours=behaviours, collateral=spoilt[:SHOWN])


def _of_behaviour(
    examples: Sequence[DemoExample], greedy: tuple[Labelled, Labelled], sampled: tuple[Labelled, Labelled]
) -> BehaviourExamples:
    off, on = greedy
    return BehaviourExamples(
        mitigated=_exchanges(examples, off, on, off.harmful & ~on.harmful & on.fluent),
        still_harmful=_exchanges(examples, off, on, on.harmful),
        still_harmful_sampled=_exchanges(examples, *sampled, sampled[1].harmful),
        off_topic=_exchanges(examples, off, on, ~on.harmful & ~on.fluent),
    )


def _exchanges(examples: Sequence[DemoExample], off: Labelled, on: Labelled, chosen: Any) -> list[Exchange]:
    return [
        Exchange(
            kind=examples[at].kind,
            prompt=examples[at].messages[-1]["content"],
            earlier=len(examples[at].messages) - 1,
            off=off.texts[at],
            on=on.texts[at],
        )
        for at in chosen.nonzero()[0][:SHOWN]
    ]
