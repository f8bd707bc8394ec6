"""Schema-Guided Dialogue (`train_utterances.jsonl.gz`): people who book tables and flights. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_json_lines
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_ROLES = {"USER": "user", "SYSTEM": "assistant"}


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The first utterance of each dialogue, and the third after the two before it, by dialogue.

    Raises:
        SourceFormatError: a dialogue has no turns of a speaker and a text.
    """
    for row in read_json_lines(root / "sgd" / "train_utterances.jsonl.gz", "dialogue_id"):
        try:
            turns = [{"role": _ROLES[speaker], "content": text} for speaker, text in row["turns"][:3]]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceFormatError(
                f"train_utterances.jsonl.gz, dialogue {row['dialogue_id']} has no turns of {list(_ROLES)}: {error}"
            ) from error
        for number, turn in enumerate(turns):
            if turn["role"] == "user":
                yield known.harmless(turn["content"], group=row["dialogue_id"], before=turns[:number])
