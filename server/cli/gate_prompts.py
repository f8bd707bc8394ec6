"""The prompts that a gate table was made on, made again: from its command, from its recipe's stage, or as told.

Nothing here says that they are the same ones; `classifiers.gates.rescoring` checks that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from breakers.errors import StageError
from breakers.pipeline.hashing import digest_of_file
from breakers.pipeline.record import RECORD_NAME, StageRecord, read_record
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable
from classifiers.gates.rescoring import TablePrompts
from server.cli.gate_stage import CalibrationPrompt, TabulateConfig, demo_prompts

_COUNT = re.compile(r"--prompts-per-kind[ =](\d+)")
_SEED = re.compile(r"--seed[ =](-?\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSource:
    """What prompts are drawn from, and how; what is None the table or its stage has to say."""

    count: int | None = None
    """Of each kind of the demo corpus, or of provoking and of benign ones."""
    seed: int | None = None
    pairs: Path | None = None
    benign: Path | None = None
    """Benign samples, where the prompts are not the demo corpus'."""

    def __post_init__(self) -> None:
        if (self.pairs is None) != (self.benign is None):
            raise GateTableError("pairs and benign samples go together; wanted both, or neither for the demo corpus")


def table_prompts(table: GateTable, path: Path, told: PromptSource) -> tuple[TablePrompts, PromptSource]:
    """The prompts of a table, and what they were drawn from.

    Args:
        table: that the prompts are for.
        path: of the table; a recipe's stage has its `stage.json` beside it.
        told: wins over what the table and its stage say.

    Raises:
        GateTableError: it cannot be told how many prompts of which seed they are.
        StageError, PairsError: a file that the stage names is missing, changed, or not in its format.
    """
    source = _completed(told, _said_by(table, path))
    if source.count is None or source.seed is None:
        raise GateTableError(
            f"the table was made by {table.command!r}, which does not say how many prompts of which seed it took; "
            "wanted --prompts-per-kind and --seed, and --pairs and --benign where they are not the demo corpus'"
        )
    found = _drawn(source, source.count, source.seed, table)
    return (
        TablePrompts(
            conversations=[prompt.messages for prompt in found],
            benign=np.array([prompt.benign for prompt in found], dtype=np.bool_),
        ),
        source,
    )


def _completed(told: PromptSource, said: PromptSource) -> PromptSource:
    files = said if told.pairs is None else told
    return PromptSource(
        count=said.count if told.count is None else told.count,
        seed=said.seed if told.seed is None else told.seed,
        pairs=files.pairs,
        benign=files.benign,
    )


def _said_by(table: GateTable, path: Path) -> PromptSource:
    if (path.parent / RECORD_NAME).is_file():
        record = read_record(path.parent)
        if record.outputs.get(path.name) == digest_of_file(path):
            return _said_by_stage(record, path.parent.parent)
    # The last of each: a command may join several.
    count, seed = _COUNT.findall(table.command), _SEED.findall(table.command)
    return PromptSource(count=int(count[-1]) if count else None, seed=int(seed[-1]) if seed else None)


def _said_by_stage(record: StageRecord, work: Path) -> PromptSource:
    count, seed = record.config.get("prompts"), record.config.get("seed")
    if not isinstance(count, int) or not isinstance(seed, int):
        raise StageError(f"stage {record.stage} says prompts {count!r} and seed {seed!r}; wanted two numbers")
    benign = next((source for source in record.inputs if source.startswith("benign/")), None)
    if benign is None:
        return PromptSource(count=count, seed=seed)
    pairs = next((source for source in record.inputs if source.startswith("pairs/")), None)
    if pairs is None:
        raise StageError(f"stage {record.stage} names {benign} and no pairs; wanted both")
    for source in (pairs, benign):
        if not (work / source).is_file() or digest_of_file(work / source) != record.inputs[source]:
            raise StageError(f"{work / source} is missing or was changed since stage {record.stage} read it")
    return PromptSource(count=count, seed=seed, pairs=work / pairs, benign=work / benign)


def _drawn(source: PromptSource, count: int, seed: int, table: GateTable) -> list[CalibrationPrompt]:
    if source.pairs is None or source.benign is None:
        # The demo's categories are its behaviours.
        return demo_prompts(TabulateConfig(bundle=Path(), prompts_per_kind=count, seed=seed), table.category)
    from server.recipes.file import GateSection
    from server.recipes.gating import calibration_prompts

    return calibration_prompts(source.pairs, source.benign, GateSection(prompts=count, seed=seed))
