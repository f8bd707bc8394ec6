"""Runs lm-evaluation-harness on the tasks of this folder: `run_harness.py API TOKENIZER RESULT`, from this folder.

Its model types are unchanged, except in the last run. Writes what each request got, by run and task, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager
from steered_completions import SteeredCompletions

CHOICES, REPLIES = "made_up_choices", "made_up_replies"


def main(api: str, tokenizer: str, result: str) -> None:
    """Every run; `api` ends in /v1."""
    tasks = TaskManager(include_path=".", include_defaults=False)

    def run(model: Any, arguments: dict[str, Any] | None, names: list[str], **options: Any) -> dict[str, Any]:
        found = lm_eval.simple_evaluate(
            model, arguments, tasks=names, task_manager=tasks, bootstrap_iters=0, **options
        )
        return {name: [sample["resps"] for sample in found["samples"][name]] for name in names}

    def completions(model: str, batch_size: int = 1) -> dict[str, Any]:
        return {
            "model": model,
            "base_url": f"{api}/completions",
            "tokenizer": tokenizer,
            "tokenizer_backend": "huggingface",
            "batch_size": batch_size,
        }

    chat = {"model": "scalpel-demo@off", "base_url": f"{api}/chat/completions"}
    runs = {
        "off": run("local-completions", completions("scalpel-demo@off"), [CHOICES, REPLIES]),
        "off_in_batches": run("local-completions", completions("scalpel-demo@off", 4), [CHOICES, REPLIES]),
        "strict": run("local-completions", completions("scalpel-demo@strict"), [CHOICES]),
        "strict_steered": run(SteeredCompletions(**completions("scalpel-demo@strict", 4)), None, [CHOICES]),
        "chat": run("local-chat-completions", chat, [REPLIES], apply_chat_template=True),
    }
    Path(result).write_text(json.dumps(runs), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
