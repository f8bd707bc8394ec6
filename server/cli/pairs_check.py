"""The stage behind `scalpel pairs validate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from breakers.errors import PairsError
from breakers.pairs.files import check_splits, check_unique, numbered_lines, pairs_sha256
from breakers.pairs.lines import parse_line
from breakers.pairs.record import PairRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What is wrong with a file, and what is worth saying about it."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check_file(file: Path, model: Path | None, limit: int) -> CheckResult:
    """Check a file of pairs.

    Args:
        file: which.
        model: a directory whose tokenizer makes token ids of the pairs; None to leave that out.
        limit: most problems to list.

    Raises:
        PairsError: the file cannot be read.
        ConfigError: the tokenizer cannot be loaded.
    """
    records, problems = _read(file, limit)
    if not records and not problems:
        problems.append(f"{file}: has no pairs; wanted at least one")
    for check in (check_unique, check_splits) if not problems else ():
        try:
            check(records, str(file))
        except PairsError as error:
            problems.append(str(error))
    if problems:
        return CheckResult(problems=tuple(problems), notes=())
    notes = [f"{len(records)} pairs, {pairs_sha256(records)}"]
    if model is not None:
        notes.append(_tokens(records, model))
    return CheckResult(problems=(), notes=tuple(notes))


def _read(file: Path, limit: int) -> tuple[list[PairRecord], list[str]]:
    records: list[PairRecord] = []
    problems: list[str] = []
    for where, line in numbered_lines(file):
        try:
            records.append(parse_line(line, where))
        except PairsError as error:
            problems.append(str(error))
            if len(problems) == limit:
                problems.append(f"{file}: only the first {limit} problems are listed")
                break
    return records, problems


def _tokens(records: list[PairRecord], model: Path) -> str:
    from transformers import AutoTokenizer

    from breakers.pairs.tokens import to_cases
    from server.errors import ConfigError

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{model} has no tokenizer that can be loaded: {error}") from error
    made = to_cases(records, tokenizer)
    longest = max(len(case.pair) for case in made.cases)
    contrasts = sum(case.contrast is not None for case in made.cases)
    lost = "".join(f"; {number} dropped: {reason}" for reason, number in made.dropped.items())
    unfit = f"; {made.without_contrast} contrast prompts of another length" if made.without_contrast else ""
    return f"{len(made.cases)} cases of at most {longest} tokens, {contrasts} with a contrast prompt{unfit}{lost}"
