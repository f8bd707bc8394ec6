"""The Self-dialogue Corpus: small talk, with nothing toxic and no request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from classifiers.fitting.replies.prompts_as_rows import as_rows
from classifiers.fitting.replies.record import ReplyRow


def read(root: Path) -> Iterator[ReplyRow]:
    """The first utterance of each dialogue."""
    for row in as_rows("self_dialogue", "self_dialogue", root):
        yield replace(row, labels={"toxicity": False, "harmful_request": False, "refusal": False})
