"""Prompts that existing readers label, as statements with the same labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers import build_source
from classifiers.fitting.replies.record import ReplyRow


def as_rows(reader: str, source: str, root: Path) -> Iterator[ReplyRow]:
    """Rows of the reader of prompts called `reader`, under the name `source`."""
    for prompt in build_source(reader).read(root):
        yield ReplyRow(reply=prompt.text, labels=dict(prompt.labels), source=source)
