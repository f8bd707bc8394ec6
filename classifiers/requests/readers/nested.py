"""Questions in JSON: a list of texts, or lists of texts by topic and subtopic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_text


class Question(NamedTuple):
    """A question, and where it stands."""

    topic: str
    subtopic: str
    text: str


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        SourceFormatError: it is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise SourceFormatError(f"{path.name} is not JSON: {error}") from error


def listed(path: Path) -> list[str]:
    """The texts of a file that is a list of them.

    Raises:
        SourceFormatError: it is something else.
    """
    return _texts(read_json(path), path.name)


def by_topic(path: Path) -> Iterator[Question]:
    """The texts of a file that holds lists of them by topic and subtopic.

    Raises:
        SourceFormatError: it is something else.
    """
    topics = read_json(path)
    if not isinstance(topics, dict) or not all(isinstance(found, dict) for found in topics.values()):
        raise SourceFormatError(f"{path.name} holds a {type(topics).__name__}; wanted texts by topic and subtopic")
    for topic, subtopics in topics.items():
        for subtopic, texts in subtopics.items():
            for text in _texts(texts, path.name):
                yield Question(topic, subtopic, text)


def _texts(found: Any, name: str) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise SourceFormatError(f"{name} holds a {type(found).__name__} where a list of texts was wanted")
    return found


def json_objects(text: str, name: str) -> Iterator[dict[str, Any]]:
    """The objects of JSON Lines, whatever their fields.

    Raises:
        SourceFormatError: a line is not an object.
    """
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceFormatError(f"{name}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise SourceFormatError(f"{name}, line {number} is a {type(row).__name__}; wanted an object")
        yield row
