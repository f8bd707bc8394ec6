"""Instructions and questions of public sets, as prompts that provoke nothing: one text a row, each once.

Rows of the published shapes are known by their fields: `instruction` with an `input` or `context`, or with
`instances` that hold one (Self-Instruct's seed tasks, Dolly); `text` with a `role` (OpenAssistant: first turns in
English); the first of `turns` (MT-Bench); `question` (NQ-Open, GSM8K); `prompt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from breakers.errors import PairsError
from breakers.pairs.sources.base import HubReference, SourceSpec
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_json_lines

_PLAIN = ("question", "prompt")


def read_instructions(path: Path | None, hub: HubReference | None = None) -> list[str]:
    """The texts, in the order of the set.

    Args:
        path: a file of JSON Lines, or a folder of them; gzipped where the name ends in .gz.
        hub: a set on the Hub instead.

    Raises:
        PairsError: there is nothing to read, or a row has none of the known fields.
    """
    found = dict.fromkeys(text for row in _rows(path, hub) if (text := _text(row)))
    if not found:
        raise PairsError(f"{path or (hub and hub.name)}: has no instructions; wanted at least one")
    return list(found)


def _rows(path: Path | None, hub: HubReference | None) -> Iterator[Row]:
    if hub is not None:
        yield from hub_rows(hub)
        return
    for file in find_files(SourceSpec(behaviour="", path=path), ("*.jsonl", "*.jsonl.gz")):
        yield from read_json_lines(file)


def _text(row: Row) -> str:
    """The prompt of a row; nothing for a row that is another turn, or in another language."""
    fields = row.fields
    if "instruction" in fields:
        return "\n".join(part for part in (row.text("instruction").strip(), _input(fields)) if part)
    if "role" in fields and "text" in fields:
        is_first = fields["role"] == "prompter" and fields.get("parent_id") is None
        return row.text("text").strip() if is_first and fields.get("lang", "en") == "en" else ""
    turns = fields.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], str):
        return turns[0].strip()
    for name in _PLAIN:
        if name in fields:
            return row.text(name).strip()
    raise PairsError(
        f"{row.where}: found {sorted(fields)}; wanted instruction, text and role, turns, question or prompt"
    )


def _input(fields: Mapping[str, Any]) -> str:
    """What an instruction is about, where it says so apart from it."""
    instances = fields.get("instances")
    holder = instances[0] if isinstance(instances, list) and instances else fields
    if not isinstance(holder, Mapping):
        return ""
    found = holder.get("input") or holder.get("context") or ""
    return found.strip() if isinstance(found, str) else ""
