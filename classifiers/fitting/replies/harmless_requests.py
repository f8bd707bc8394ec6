"""Requests that are harmless to fulfil: Self-Instruct's tasks, GSM8K, MMLU and the questions of NQ-Open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers import build_source
from classifiers.fitting.replies.record import ReplyRow

_READERS = ("seed_instructions", "gsm8k", "mmlu", "nq_open")


def read(root: Path) -> Iterator[ReplyRow]:
    """The requests, as texts."""
    for reader in _READERS:
        for prompt in build_source(reader).read(root):
            yield ReplyRow(reply=prompt.text, labels={"harmful_request": False}, source="harmless_requests")
