"""OpenAI's moderation set: 1,680 texts with eight labels, of which most rows give only some.

`S` sexual (`S3` minors), `H` hate (`H2` threatening), `V` violence (`V2` graphic), `HR` harassment, `SH` self-harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_json_lines
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_CODES: Mapping[str, tuple[str, ...]] = {
    "sexual": ("S", "S3"),
    "hate": ("H", "H2"),
    "violence": ("V", "V2"),
    "toxicity": ("HR",),
    "self_harm": ("SH",),
}


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """Rows with a label that applies, and those of which all are known and none does."""
    for row in read_json_lines(root / "moderation-api" / "samples-1680.jsonl.gz", "prompt"):
        labels = {category: _label(row, codes) for category, codes in _CODES.items()}
        shown = [category for category, label in labels.items() if label]
        if shown:
            denied = tuple(category for category, label in labels.items() if label is False)
            yield known.harmful(row["prompt"], *shown, denied=denied)
        elif None not in labels.values():
            yield known.harmless(row["prompt"], unknown=("bias", "misinformation", "jailbreak"))


def _label(row: Mapping[str, Any], codes: tuple[str, ...]) -> bool | None:
    found = [row.get(code) for code in codes]
    if any(value not in (0, 1, None) for value in found):
        raise SourceFormatError(f"samples-1680.jsonl.gz has {dict(zip(codes, found, strict=True))}; wanted 0 or 1")
    if 1 in found:
        return True
    return None if None in found else False
