"""Self-Reminder: jailbreak prompts with a place for a request, and harmful requests to put there.

A jailbreak prompt is read with a request in its place: the placeholder alone would tell it from everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_table
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import read_json
from classifiers.requests.record import RequestRow

_JAILBREAKS = ("jailbreak_prompts.csv", "jailbreak_prompts_itw.csv", "jailbreak_prompts_train.csv")
_REQUESTS = "attack_prompt_raw.json"
_PLACE = "[INSERT PROMPT HERE]"


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The requests by themselves, then the jailbreak prompts around them, in turn."""
    folder = root / "self-reminder"
    requests = _requests(folder / _REQUESTS)
    for request in requests:
        yield known.harmful(request)
    asked = cycle(requests)
    for name in _JAILBREAKS:
        for row in read_table(folder / name, ("prompt",)):
            yield known.harmful(
                row["prompt"].replace(_PLACE, next(asked)), "jailbreak", denied=(), group=row["prompt"]
            )


def _requests(path: Path) -> list[str]:
    rows = read_json(path)
    if not rows or not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("prompt") for row in rows):
        raise SourceFormatError(f"{path.name} is no list of objects with a text in 'prompt'")
    return [row["prompt"] for row in rows]
