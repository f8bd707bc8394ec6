"""Self-Instruct's seed tasks and user-oriented instructions: benign requests in many styles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_json_lines

_FILES = (Path("data/seed_tasks.jsonl"), Path("human_eval/user_oriented_instructions.jsonl"))


def read(root: Path) -> Iterator[LabelledPrompt]:
    """Each instruction, followed by its first input where it has one."""
    for file in _FILES:
        for row in read_json_lines(root / "seed-instructions" / file, "instruction"):
            instances = row.get("instances") or [{}]
            text = f"{row['instruction']} {instances[0].get('input') or ''}".strip()
            labels = {"toxicity": False, "gender_bias": False, "misinformation": False}
            yield LabelledPrompt(text=text, labels=labels, source="seed_instructions")
