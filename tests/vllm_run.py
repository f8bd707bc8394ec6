"""One engine in an interpreter of its own: `python vllm_run.py`, a request as JSON on standard input.

For what is compiled: the checks of shapes under pytest cannot be traced. Also for what has to be seen from a fresh
process, as a compile cache that another one left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vllm_engines import Files, Reply, Wanted, engine, replies

TESTS = Path(__file__).parent


def run_apart(
    served: Files, batches: Sequence[Sequence[Wanted]], *, environment: dict[str, str], **settings: Any
) -> list[list[Reply]]:
    """Replies of an engine in another process to batches, one after the other.

    Args:
        served: the model.
        batches: of requests.
        environment: added to this process's.
        settings: of `vllm_engines.engine`.
    """
    asked = {
        "directory": str(served.directory),
        "bundles": [str(path) for path in served.bundles],
        "batches": [[asdict(w) for w in batch] for batch in batches],
        "settings": settings,
    }
    answer = served.directory.parent / "answer.json"
    answer.unlink(missing_ok=True)
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    ended = subprocess.run(
        [sys.executable, str(Path(__file__)), str(answer)],
        input=json.dumps(asked),
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    if ended.returncode != 0:
        raise AssertionError(f"the engine ended with {ended.returncode}:\n{ended.stderr[-4000:]}")
    return [[Reply(**reply) for reply in batch] for batch in json.loads(answer.read_text())]


def _interpret_triton() -> None:
    """Take Triton's interpreter for a backend of CPUs: without one vLLM does not run its V2 runner."""
    from triton.backends import backends

    backends["cpu"] = SimpleNamespace(driver=SimpleNamespace(is_active=lambda: True), compiler=None)


def _main() -> None:
    asked = json.load(sys.stdin)
    if os.environ.get("TRITON_INTERPRET") == "1":
        _interpret_triton()
    batches = [[Wanted(**{**w, "prompt": tuple(w["prompt"])}) for w in batch] for batch in asked["batches"]]
    files = Files(directory=Path(asked["directory"]), bundles=tuple(Path(path) for path in asked["bundles"]))
    with engine(files, **asked["settings"]) as llm:
        found = [[asdict(reply) for reply in replies(llm, batch)] for batch in batches]
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    _main()
