"""The Self-dialogue Corpus (`corpus.tar.gz`: CSV files by topic): small talk about films, music and sport, benign."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.prompts import LabelledPrompt

_OPENING = "Answer.sentence1"


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The first utterance of each dialogue. Whether it invites a falsehood is not known."""
    labels = {"toxicity": False, "gender_bias": False}
    for name, text in _tables(root / "self-dialogue" / "corpus.tar.gz"):
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if _OPENING not in (rows.fieldnames or ()):
            raise SourceFormatError(f"{name} has no column {_OPENING!r}")
        for row in rows:
            yield LabelledPrompt(text=row[_OPENING] or "", labels=labels, source="self_dialogue")


def _tables(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                file = archive.extractfile(member) if member.name.endswith(".csv") else None
                if file is not None:
                    yield member.name, file.read().decode("utf-8-sig", errors="replace")
    except (OSError, tarfile.TarError) as error:
        raise SourceFormatError(f"{path.name} cannot be read: {error}") from error
