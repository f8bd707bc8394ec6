"""What a training is given, divided into a part to train on and a part to validate on."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from breakers.errors import InterventionError
from breakers.training.batches import Pair, Sample
from breakers.training.config import TrainingConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A pair with the task (column) that is to act on it."""

    column: int
    pair: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Validation data of one's own choice, from prompts that training does not see."""

    pairs: Mapping[str, Sequence[Pair]]
    """By task, at least one each."""
    benign: Sequence[Sample]
    """At least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Both parts."""

    names: tuple[str, ...]
    """Of the tasks, by column."""
    rows: Sequence[Row]
    benign: Sequence[Sample]
    validation_rows: Sequence[Row]
    validation_benign: Sequence[Sample]

    @property
    def samples(self) -> list[Sample]:
        """All that is ever run, neutral replies first."""
        rows = [*self.rows, *self.validation_rows]
        return [*(row.pair.neutral for row in rows), *self.benign, *self.validation_benign]

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits over all token ids and their order."""
        parts = [
            [[r.column, r.pair.harmful.prompt, r.pair.harmful.reply, r.pair.neutral.reply] for r in rows]
            for rows in (self.rows, self.validation_rows)
        ]
        kept = [[[s.prompt, s.reply] for s in samples] for samples in (self.benign, self.validation_benign)]
        return json_digest([self.names, parts, kept])


def divided(
    tasks: Mapping[str, Sequence[Pair]],
    benign: Sequence[Sample],
    held_out: HeldOut | None,
    config: TrainingConfig,
    draw: random.Random,
) -> TrainingData:
    """Tasks and benign samples with validation parts: those given, else a share of the prompts held out.

    Args:
        tasks: pairs by the name of the task.
        benign: replies that must stay as likely as they are.
        held_out: validation data; None to hold out.
        config: share and limit of what is held out.
        draw: decides what is held out.

    Raises:
        InterventionError: no task, or too little data.
    """
    if not tasks:
        raise InterventionError("no breaker to train; wanted pairs for at least one")
    rows: list[Row] = []
    validation: list[Row] = []
    for column, (name, pairs) in enumerate(tasks.items()):
        given = None if held_out is None else held_out.pairs.get(name, ())
        for to, part in zip((rows, validation), _parts(pairs, given, f"pairs of {name}", config, draw), strict=True):
            to += [Row(column=column, pair=pair) for pair in part]
    kept, kept_validation = _parts(
        benign, None if held_out is None else held_out.benign, "benign samples", config, draw
    )
    return TrainingData(
        names=tuple(tasks),
        rows=rows,
        benign=kept,
        validation_rows=validation,
        validation_benign=kept_validation,
    )


def json_digest(value: object) -> str:
    """`sha256:` and 64 hex digits over a value as JSON."""
    return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}"


def _parts(
    items: Sequence[T], given: Sequence[T] | None, what: str, config: TrainingConfig, draw: random.Random
) -> tuple[list[T], list[T]]:
    if given is not None:
        if not items or not given:
            raise InterventionError(f"{len(items)} {what} and {len(given)} held out; wanted at least one of each")
        return list(items), list(given[: config.validation_limit])
    held = max(1, min(config.validation_limit, round(len(items) * config.validation_share)))
    if len(items) - held < 1:
        raise InterventionError(f"{len(items)} {what}; wanted at least 2, to hold some out for validation")
    shuffled = draw.sample(list(items), len(items))
    return shuffled[held:], shuffled[:held]
