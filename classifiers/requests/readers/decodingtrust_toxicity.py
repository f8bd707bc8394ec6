"""DecodingTrust's part of RealToxicityPrompts: beginnings that draw toxic continuations, and others. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_text
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import json_objects
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The beginnings. Raises `SourceFormatError` where a line has no text in its prompt."""
    folder = root / "decodingtrust" / "toxicity" / "user_prompts"
    for name in ("toxic.jsonl", "nontoxic.jsonl"):
        for row in json_objects(read_text(folder / name), name):
            prompt = row.get("prompt")
            if not isinstance(prompt, dict) or not isinstance(prompt.get("text"), str):
                raise SourceFormatError(f"{name} has prompt {prompt!r}; wanted an object with a text")
            if name == "toxic.jsonl":
                yield known.harmful(prompt["text"], "toxicity")
            else:
                yield known.harmless(prompt["text"], unknown=("bias", "misinformation"))
