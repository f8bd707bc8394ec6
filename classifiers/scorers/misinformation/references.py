"""References: questions with the answers that are right and those that are wrong, from a file.

A CSV file has TruthfulQA's columns `Question`, `Correct Answers` and `Incorrect Answers`, answers parted by
semicolons. A JSON Lines file has `question`, `correct` and `incorrect`, both lists of texts.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifiers.errors import MissingReferenceError, SourceFormatError

_COLUMNS = ("Question", "Correct Answers", "Incorrect Answers")
_NOT_WORD = re.compile(r"[\W_]+")
_VARIABLE = re.compile(r"^\$([A-Z_]+)(?=/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A question and its known answers, at least one of each kind."""

    question: str
    correct: tuple[str, ...]
    incorrect: tuple[str, ...]


class ReferenceLine(BaseModel):
    """A line of a JSON Lines file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1)
    correct: tuple[str, ...] = Field(min_length=1)
    incorrect: tuple[str, ...] = Field(min_length=1)


class References:
    """Looks up the reference of a prompt."""

    def __init__(self, references: Sequence[Reference]) -> None:
        """Index by question.

        Raises:
            SourceFormatError: there are none.
        """
        if not references:
            raise SourceFormatError("no references; wanted questions with correct and incorrect answers")
        self.all = tuple(references)
        self._by_question: Mapping[str, Reference] = {normalised(r.question): r for r in references}
        self._longest_first = sorted(self._by_question, key=len, reverse=True)

    def of(self, prompt: str) -> Reference:
        """The reference whose question is the prompt, or the longest one that stands in it.

        Raises:
            MissingReferenceError: there is none.
        """
        key = normalised(prompt)
        found = self._by_question.get(key)
        if found is not None:
            return found
        for question in self._longest_first:
            if question and f" {question} " in f" {key} ":
                return self._by_question[question]
        raise MissingReferenceError(
            f"no reference answers the prompt {prompt[:80]!r}; wanted one of {len(self.all)} questions"
        )


def load_references(name: str) -> References:
    """References from a file.

    Args:
        name: its path; a leading environment variable may stand in it (`$SCALPEL_DATA/...`).

    Raises:
        SourceFormatError: it cannot be read, or is in neither format.
    """
    path = _place(name)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceFormatError(f"references {name} cannot be read: {error}") from error
    rows = _csv_rows(text, name) if path.suffix == ".csv" else _json_rows(text, name)
    return References(list(rows))


def normalised(text: str) -> str:
    """Lower-case words without punctuation: what makes two questions the same."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()


def _place(name: str) -> Path:
    variable = _VARIABLE.match(name)
    if variable is None:
        return Path(name)
    root = os.environ.get(variable.group(1))
    if not root:
        raise SourceFormatError(f"references {name}: {variable.group()} is not set; wanted a folder")
    return Path(root + name[variable.end() :])


def _csv_rows(text: str, name: str) -> Iterator[Reference]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise SourceFormatError(f"{name} has no column {missing[0]!r}; wanted {', '.join(_COLUMNS)}")
    for row in rows:
        correct, incorrect = (_answers(row[column] or "") for column in _COLUMNS[1:])
        if correct and incorrect:
            yield Reference(question=row["Question"], correct=correct, incorrect=incorrect)


def _json_rows(text: str, name: str) -> Iterator[Reference]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = ReferenceLine.model_validate_json(line)
        except ValidationError as error:
            raise SourceFormatError(f"{name}, line {number} is no reference: {error}") from error
        yield Reference(question=found.question, correct=found.correct, incorrect=found.incorrect)


def _answers(text: str) -> tuple[str, ...]:
    return tuple(answer.strip() for answer in text.split(";") if answer.strip())
