"""docs/clients.md: its snippets run in order, each client in its environment, and print what the page shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving.clients import NODE_FOLDER, node_command, output_of, python_command

from benchmarks.served import served

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000/v1"
MARK = "=== end of a snippet ==="
SECTIONS = ("Python: openai", "npm: openai", "langchain-openai", "litellm")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with served() as url:
        yield url


def test_every_snippet_is_in_a_section_that_is_run() -> None:
    found = re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)
    languages = ("python", "javascript")
    assert found.count("text") == sum(len(blocks(language, section(s))) for s in SECTIONS for language in languages)
    assert set(found) == {"text", *languages}
    assert found[1::2] == ["text"] * (len(found) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_snippets_print_what_the_page_shows(title: str, base_url: str, tmp_path: Path) -> None:
    text = section(title).replace(ADDRESS, base_url)
    if title == "npm: openai":
        [snippet] = blocks("javascript", text)
        printed = output_of([*node_command(), "--input-type=module", "--eval", snippet], NODE_FOLDER)
    else:
        command = [sys.executable] if title == "Python: openai" else python_command()
        script = tmp_path / "page.py"
        script.write_text(f"\nprint({MARK!r})\n".join(blocks("python", text)), encoding="utf-8")
        printed = output_of([*command, str(script)], tmp_path)
    assert [part.strip() for part in printed.split(MARK)] == [shown.strip() for shown in blocks("text", text)]
