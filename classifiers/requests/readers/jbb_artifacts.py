"""JailbreakBench's artifacts: prompts that attacks made of its goals, for four models.

The manual attack (`JBC`) and the random search are left out: each puts one published prompt around the goals, which
other sets hold, and would join all of them to one group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import found
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.jailbreakbench import categories_of
from classifiers.requests.readers.nested import read_json
from classifiers.requests.record import RequestRow

_METHODS = ("DSN", "GCG", "PAIR")
_FIELDS = ("goal", "category", "prompt")


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The prompts, by goal; goals for which an attack found none are left out.

    Raises:
        SourceFormatError: a file has no list of jailbreaks, or one without its goal, category or prompt.
    """
    for method in _METHODS:
        for path in found(root / "jbb-artifacts" / method, "*/*.json"):
            for row in _jailbreaks(path):
                if row["prompt"]:
                    categories = categories_of(row["category"], path.name)
                    yield known.harmful(row["prompt"], "jailbreak", *categories, denied=(), group=row["goal"])


def _jailbreaks(path: Path) -> list[dict[str, str]]:
    artifact = read_json(path)
    rows = artifact.get("jailbreaks") if isinstance(artifact, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(_FIELDS) <= set(row) for row in rows):
        raise SourceFormatError(f"{path.name} has no list 'jailbreaks' of objects with {', '.join(_FIELDS)}")
    return rows
