"""Self-Instruct's seed and user-oriented tasks: instructions with the replies that people wrote. Harmless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_json_lines
from classifiers.fitting.replies.record import ReplyRow, user_turn

_FILES = (Path("data/seed_tasks.jsonl"), Path("human_eval/user_oriented_instructions.jsonl"))
_LABELS = {"toxicity": False, "stereotype": False, "harmful_request": False, "refusal": False}


def read(root: Path) -> Iterator[ReplyRow]:
    """Every instance of every task."""
    for file in _FILES:
        for row in read_json_lines(root / "seed-instructions" / file, "instruction"):
            for instance in row.get("instances") or []:
                prompt = f"{row['instruction']} {instance.get('input') or ''}".strip()
                if instance.get("output"):
                    yield ReplyRow(
                        reply=str(instance["output"]),
                        labels=_LABELS,
                        source="instructions",
                        messages=user_turn(prompt),
                        group=row["instruction"],
                    )
