"""HH-RLHF, `harmless-base` test: conversations with a chosen and a rejected last reply.

`rejected` says that people liked the reply less, of two that may both be harmless or both be harmful.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.base import Conversation
from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_json_lines
from classifiers.fitting.replies.record import ReplyRow

_ROLES = {"\n\nHuman:": "user", "\n\nAssistant:": "assistant"}


def read(root: Path) -> Iterator[ReplyRow]:
    """Both last replies of every conversation, chosen first; conversations that end otherwise are left out."""
    for number, row in enumerate(read_json_lines(root / "hh-rlhf" / "harmless-base" / "test.jsonl.gz", "chosen")):
        for side in ("chosen", "rejected"):
            if not isinstance(row.get(side), str):
                raise SourceFormatError(f"test.jsonl.gz, row {number} has no text in {side!r}")
            turns = _turns(row[side])
            if turns and turns[-1]["role"] == "assistant":
                yield ReplyRow(
                    reply=turns[-1]["content"],
                    labels={"rejected": side == "rejected"},
                    source="hh_rlhf",
                    messages=turns[:-1],
                    group=f"hh_rlhf {number}",
                    row=f"{number}/{side}",
                )


def _turns(text: str) -> Conversation:
    """The turns of a conversation written with `Human:` and `Assistant:`."""
    turns: list[dict[str, str]] = []
    for marker in (part for part in text.split("\n\n") if part):
        for label, role in _ROLES.items():
            if f"\n\n{marker}".startswith(label):
                turns.append({"role": role, "content": marker.removeprefix(label.strip()).strip()})
                break
        else:
            if turns:
                turns[-1]["content"] += f"\n\n{marker}"
    return turns
