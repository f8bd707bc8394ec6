"""hh-rlhf, harmless part: the same dialogue with two last replies, of which people chose the less harmful one.

Files `harmless-base/*.jsonl(.gz)`: `chosen` and `rejected`, whole dialogues. On the Hub: `Anthropic/hh-rlhf`, folder
`harmless-base`. The chosen reply is only the better of two; both, or neither, may be harmful.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import Message, Messages, shown
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_json_lines

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


class HhRlhfSource:
    """See the module."""

    name = "hh_rlhf"
    licence = "MIT"
    behaviours = ("harmful_request",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The dialogues up to their last human turn."""
        for row in self._rows(spec):
            dialogue = _dialogue(row, "chosen")
            if _is_answered(dialogue):
                yield self._prompt(dialogue[:-1])

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """The rejected reply is the harmful one; rows whose dialogues part before the last reply are left out."""
        for row in self._rows(spec):
            chosen, rejected = _dialogue(row, "chosen"), _dialogue(row, "rejected")
            if _is_answered(chosen) and _is_answered(rejected) and chosen[:-1] == rejected[:-1]:
                yield PairDraft(
                    prompt=self._prompt(chosen[:-1]), harmful=rejected[-1].content, neutral=chosen[-1].content
                )

    def _prompt(self, messages: Messages) -> Prompt:
        # Dialogues were cut at several turns: those that open alike are parts of one.
        return Prompt(
            messages=messages, source=self.name, licence=self.licence, origin=f"hh:{messages[0].content.casefold()}"
        )

    def _rows(self, spec: SourceSpec) -> Iterator[Row]:
        check_behaviour(self, spec.behaviour)
        if spec.hub is not None:
            yield from hub_rows(spec.hub, data_dir="harmless-base")
            return
        for path in _files(spec):
            yield from read_json_lines(path)


def build() -> HhRlhfSource:
    """The source."""
    return HhRlhfSource()


def _files(spec: SourceSpec) -> list[Path]:
    """The file that is named, or those of harmless parts: in the helpful ones, what was rejected is not harmful."""
    found = find_files(spec, ("*.jsonl", "*.jsonl.gz"))
    if found == [spec.path]:
        return found
    harmless = [path for path in found if path.parent.name.startswith("harmless")]
    if not harmless:
        raise PairsError(f"{spec.path}: found no folder harmless-*; wanted the harmless part, or one file of it")
    return harmless


def _dialogue(row: Row, field: str) -> Messages:
    text = row.text(field)
    parts = _TURN.split(text)
    if parts[0].strip() or len(parts) < 3:
        raise PairsError(f"{row.where}, {field}: found {shown(text)}; wanted turns of Human: and Assistant:")
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(Message(role=_ROLES[role], content=content.strip()) for role, content in turns)


def _is_answered(dialogue: Messages) -> bool:
    """Whether it is human and assistant by turns, none of them empty, up to a reply."""
    roles = [message.role for message in dialogue]
    return roles == ["user", "assistant"] * (len(roles) // 2) and all(message.content for message in dialogue)
