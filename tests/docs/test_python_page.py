"""docs/python.md: its snippets run in order in a fresh process, and print what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
MARK = "=== end of a snippet ==="


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_snippet_is_followed_by_what_it_prints() -> None:
    assert re.findall(r"^```(\w+)$", PAGE, re.MULTILINE) == ["python", "text"] * len(blocks("python"))


def test_the_snippets_run_in_order_and_print_what_the_page_shows(tmp_path: Path) -> None:
    snippets = blocks("python")
    script = tmp_path / "page.py"
    script.write_text(f"\nprint({MARK!r})\n".join(snippets), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    printed = [part.strip() for part in done.stdout.split(MARK)]
    assert printed == [text.strip() for text in blocks("text")]
